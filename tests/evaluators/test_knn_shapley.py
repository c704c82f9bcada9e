"""KNN Shapley against the definition of its utility."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from games import shapley_by_definition

from dvbench.errors import UserError
from evaluators import KNNShapley
from evaluators.baselines import knn_shapley
from evaluators.baselines.knn_shapley import knn_shapley_values

X = torch.tensor([[0.0], [1.0], [2.5], [4.0], [6.0]])
Y = torch.eye(2)[[0, 1, 0, 0, 1]]
X_VALID, Y_VALID = torch.tensor([[0.2], [3.2], [5.5]]), torch.eye(2)[[0, 1, 0]]


def utility(
    x: np.ndarray, labels: np.ndarray, x_valid: np.ndarray, labels_valid: np.ndarray, neighbours: int
) -> Callable[[np.ndarray], float]:
    """Mean over validation points of the share of neighbours, the nearest players of a coalition, with its label."""

    def of_coalition(coalition: np.ndarray) -> float:
        total = 0.0
        for point, label in zip(x_valid, labels_valid, strict=True):
            nearest = sorted(np.sort(coalition), key=lambda player: float(((x[player] - point) ** 2).sum()))[
                :neighbours
            ]
            total += sum(labels[player] == label for player in nearest) / neighbours
        return total / len(x_valid)

    return of_coalition


@pytest.mark.parametrize("neighbours", [1, 3, 5, 6, 10])
def test_values_are_those_of_the_definition(neighbours: int) -> None:
    data = X.numpy(), Y.argmax(1).numpy(), X_VALID.numpy(), Y_VALID.argmax(1).numpy()
    expected = shapley_by_definition(utility(*data, neighbours), len(X))
    evaluator = KNNShapley(neighbours).input_data(X, Y, X_VALID, Y_VALID)
    for _ in range(2):
        values = evaluator.train_data_values().evaluate_data_values()
        np.testing.assert_allclose(values, expected, atol=1e-12)
    theirs = stock.KNNShapley(neighbours).input_data(X, Y, X_VALID, Y_VALID).train_data_values()
    same = np.allclose(theirs.evaluate_data_values(), expected, atol=1e-6)
    assert same == (neighbours <= len(X))  # the fault


@pytest.mark.parametrize("neighbours", [1, 2, 4, 9])
@pytest.mark.parametrize("shift", [0.0, 1e9])
@pytest.mark.parametrize("seed", range(3))
def test_players_at_equal_distances_keep_their_order(seed: int, shift: float, neighbours: int) -> None:
    """Whole numbers on a small grid are often equally far; far from zero, products of rows lose their differences."""
    rng = np.random.default_rng(seed)
    x, x_valid = (rng.integers(0, 3, (n, 2)) + shift for n in (8, 5))
    data = x, rng.integers(0, 3, 8), x_valid, rng.integers(0, 3, 5)
    expected = shapley_by_definition(utility(*data, neighbours), 8)
    np.testing.assert_allclose(knn_shapley_values(*data, neighbours), expected, atol=1e-12)


def recursion(x: np.ndarray, labels: np.ndarray, x_valid: np.ndarray, labels_valid: np.ndarray, k: int) -> np.ndarray:
    """The paper's Theorem 1, one validation point and one player at a time."""
    values = np.zeros(len(x))
    for point, label in zip(x_valid, labels_valid, strict=True):
        order = np.argsort(((x - point) ** 2).sum(axis=1), kind="stable")
        match = (labels[order] == label).astype(float)
        value = match[-1] * min(k, len(x)) / (k * len(x))
        values[order[-1]] += value
        for i in range(len(x) - 1, 0, -1):
            value += (match[i - 1] - match[i]) * min(k, i) / (k * i)
            values[order[i - 1]] += value
    return values / len(x_valid)


@pytest.mark.parametrize("size", [1, 3000, 2**25])
def test_chunks_do_not_change_values(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Of players and of validation points: one at a time, some, or all."""
    monkeypatch.setattr(knn_shapley, "CHUNK_BYTES", size)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 3)), rng.integers(0, 3, 40), rng.normal(size=(17, 3)), rng.integers(0, 3, 17)
    np.testing.assert_allclose(knn_shapley_values(*data, 5), recursion(*data, 5), atol=1e-12)


def test_memory_does_not_grow_with_pairs() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(20_000, 4)), rng.integers(0, 3, 20_000), rng.normal(size=(300, 4)), rng.integers(0, 3, 300)
    tracemalloc.start()
    try:
        knn_shapley_values(*data, 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * knn_shapley.CHUNK_BYTES < 20_000 * 300 * 16


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_no_number_is_refused(value: float) -> None:
    x = X.clone()
    x[2] = value
    with pytest.raises(UserError, match="a feature is NaN or infinite"):
        KNNShapley().input_data(x, Y, X_VALID, Y_VALID).train_data_values()
