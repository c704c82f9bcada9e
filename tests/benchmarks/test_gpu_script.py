"""The script for a GPU runs, on a CPU in sizes that mean nothing."""

from __future__ import annotations

import gpu_images


def test_models_of_points_in_tiny_sizes():
    rows = list(gpu_images.rows("cpu", tiny=True))
    assert len(rows) == 13
    assert sum(measured.endswith("0.0e+00") for _, measured in rows) == 4  # nothing is recorded on a CPU
    (values,) = (measured for work, measured in rows if work.startswith("values of 24 points"))
    assert values == "Spearman 1.0000, at most 0 standard deviations"  # which has no TF32
