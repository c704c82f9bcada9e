"""KNN Shapley against the definition of its utility."""

from __future__ import annotations

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from games import shapley_by_definition

from evaluators import KNNShapley

X = torch.tensor([[0.0], [1.0], [2.5], [4.0], [6.0]])
Y = torch.eye(2)[[0, 1, 0, 0, 1]]
X_VALID, Y_VALID = torch.tensor([[0.2], [3.2], [5.5]]), torch.eye(2)[[0, 1, 0]]


def utility(neighbours: int, coalition: np.ndarray) -> float:
    """Mean over validation points of the share of neighbours, the nearest players of a coalition, with its label."""
    total = 0.0
    for x, y in zip(X_VALID, Y_VALID, strict=True):
        nearest = sorted(coalition, key=lambda player: abs(float(X[player] - x)))[:neighbours]
        total += sum(torch.equal(Y[player], y) for player in nearest) / neighbours
    return total / len(X_VALID)


@pytest.mark.parametrize("neighbours", [1, 3, 5, 6, 10])
def test_values_are_those_of_the_definition(neighbours: int) -> None:
    expected = shapley_by_definition(lambda coalition: utility(neighbours, coalition), len(X))
    evaluator = KNNShapley(neighbours).input_data(X, Y, X_VALID, Y_VALID)
    for _ in range(2):
        values = evaluator.train_data_values().evaluate_data_values()
        np.testing.assert_allclose(values, expected, atol=1e-6)
    theirs = stock.KNNShapley(neighbours).input_data(X, Y, X_VALID, Y_VALID).train_data_values()
    same = np.allclose(theirs.evaluate_data_values(), expected, atol=1e-6)
    assert same == (neighbours <= len(X))  # the fault
