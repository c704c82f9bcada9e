"""Seconds of `dvbench.value` on tables, on one thread, with what packages take to load left out."""

from __future__ import annotations

import time

import numpy as np
import pytest

import dvbench

GOALS = [
    ("knn_shapley", 10_000, 20),
    ("data_oob", 1_000, 5),
    ("unlearning_shapley", 1_000, 5),
    ("chg_shapley", 50_000, 15),
]


def table(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Twelve standardised features and three classes, of which features say much and not all."""
    generator = np.random.default_rng(rows)
    x = generator.standard_normal((rows, 12))
    y = (x @ generator.standard_normal((12, 3)) + generator.gumbel(size=(rows, 3))).argmax(axis=1)
    return x, y


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    dvbench.value(*table(40), folds=2)


@pytest.mark.benchmark(group="values of a table, in five folds")
@pytest.mark.parametrize(("evaluator", "rows", "goal"), GOALS)
def test_rows(benchmark, evaluator: str, rows: int, goal: float) -> None:
    x, y = table(rows)
    started = time.process_time()
    benchmark.pedantic(lambda: dvbench.value(x, y, evaluator=evaluator), rounds=1)
    seconds = time.process_time() - started
    benchmark.extra_info |= {
        "processor_seconds": round(seconds, 2),
    }
    assert seconds < goal


@pytest.mark.benchmark(group="KNN Shapley of 100,000 rows, 1,000 validation points")
def test_many_rows(benchmark) -> None:
    x, y = table(101_000)
    validation = (x[100_000:], y[100_000:])
    started = time.process_time()
    benchmark.pedantic(
        lambda: dvbench.value(x[:100_000], y[:100_000], evaluator="knn_shapley", validation=validation), rounds=1
    )
    benchmark.extra_info |= {"processor_seconds": round(time.process_time() - started, 2)}
