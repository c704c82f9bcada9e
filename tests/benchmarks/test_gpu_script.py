"""The script for a GPU runs, on a CPU in sizes that mean nothing."""

from __future__ import annotations

import gpu_points


def test_models_of_points_in_tiny_sizes():
    rows = list(gpu_points.point_rows(True, "cpu"))
    assert len(rows) == 15
    assert sum(compared == "logits differ by up to 0.0e+00" for *_, compared in rows) == 6  # nothing is recorded here
    (values,) = (row for row in rows if row[0].startswith("values of 24 points"))
    assert values[1:] == ("Spearman 1.0000", "at most 0 standard deviations")  # a CPU has no TF32
