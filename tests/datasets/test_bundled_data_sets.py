"""The data sets that dvbench has, and the size of those that are bundled with scikit-learn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dvbench.problems.build import load_source
from dvbench.registry import entries


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [("digits", 1797, 64, 10), ("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3), ("diabetes", 442, 10, 0)],
)
def test_bundled_data_sets_have_the_documented_size(name: str, rows: int, features: int, classes: int) -> None:
    source = load_source(name)
    assert source.labels.shape == (rows,)
    assert source.take(np.array([3, 1])).shape == (2, features)
    assert len(source.classes) == classes
    assert source.kind == ("classification" if classes else "regression")
    summary = entries("datasets")[name].summary
    assert f"{rows:,} rows, {features} features" in summary
    assert f"{classes} classes" in summary or "regression" in summary


def test_every_data_set_and_nothing_else_is_registered() -> None:
    ours = [name for name, entry in entries("datasets").items() if entry.target.startswith("dvbench.datasets.")]
    first = ["bbc_news", "breast_cancer", "cifar10", "cifar100", "csv", "diabetes", "digits", "fashion_mnist", "imdb"]
    last = ["tiny_imagenet", "tiny_text", "wiki_web_stories", "wine"]
    assert ours == [*first, "opendataval", "openml", "text_corpus", *last]


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, dvbench.datasets; print({'torch', 'datasets', 'sklearn', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
