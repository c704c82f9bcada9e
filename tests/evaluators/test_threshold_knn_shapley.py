"""Threshold KNN Shapley against enumeration of all coalitions of a classifier that is written out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dvbench.errors import UserError
from dvbench.games import exact_shapley_values
from evaluators import ThresholdKNNShapley, threshold_knn_shapley
from evaluators.threshold_knn_shapley import threshold_knn_shapley_values


def drawn(seed, n=8, m=5, classes=3):
    rng = np.random.default_rng(seed)
    labels = [rng.integers(classes, size=size) for size in (n, m)]
    x, x_valid = (rng.normal(size=(len(part), 3)) + 2 * np.eye(3)[part] for part in labels)
    return x, np.eye(classes)[labels[0]], x_valid, np.eye(classes)[labels[1]]


def utilities(x, y, x_valid, y_valid, threshold):
    def similarity(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    centre = x.mean(axis=0)

    def utility(coalition):
        shares = []
        for point, label in zip(x_valid, y_valid, strict=True):
            near = [i for i in coalition if similarity(x[i] - centre, point - centre) >= threshold]
            shares.append(np.mean([y[i] @ label for i in near]) if near else 1 / y.shape[1])
        return float(np.mean(shares))

    return lambda coalitions: np.array([utility(coalition) for coalition in coalitions])


@pytest.mark.parametrize("threshold", [-0.9, 0.0, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_values_are_exact(seed, threshold):
    """Brute force: enumeration of 2^8 coalitions."""
    data = drawn(seed)
    game = utilities(*data, threshold)
    actual = threshold_knn_shapley_values(*data, threshold)
    np.testing.assert_allclose(actual, exact_shapley_values(game, 8), rtol=1e-9, atol=1e-12)
    assert actual.sum() == pytest.approx(game([np.arange(8)])[0] - 1 / 3)


def test_chunks_change_nothing(monkeypatch):
    data = drawn(0, n=30, m=20)
    whole = threshold_knn_shapley_values(*data, 0.2)
    monkeypatch.setattr(threshold_knn_shapley, "CHUNK", 70)
    np.testing.assert_allclose(threshold_knn_shapley_values(*data, 0.2), whole, rtol=1e-12)
    assert np.ptp(whole) > 0.01


def test_a_player_without_a_direction_or_a_neighbour_has_no_value():
    x = np.array([[1.0, 0], [-1, 0], [0, 0], [0, 1], [0, -1]])
    y = np.eye(2)[[0, 1, 0, 1, 0]]
    values = threshold_knn_shapley_values(x, y, np.array([[1.0, 0.1]]), np.eye(2)[[0]], 0.5)
    np.testing.assert_allclose(values, [0.5, 0, 0, 0, 0])


def test_planted_label_noise_is_found(problem, fetcher):
    from sklearn.metrics import roc_auc_score

    evaluator = ThresholdKNNShapley()
    evaluator.input_fetcher(fetcher)
    values = evaluator.train_data_values().evaluate_data_values()
    assert roc_auc_score(problem.corrupted, -values) > 0.7


def test_what_it_cannot_compare_is_refused():
    data = [torch.tensor(part).float() for part in drawn(0)]
    for threshold in (1, -1, 2, float("nan"), "a"):
        with pytest.raises(ValueError, match="threshold is a finite number"):
            ThresholdKNNShapley(threshold)
    data[0][2, 1] = torch.nan
    with pytest.raises(UserError, match="cannot compare points: a feature is NaN"):
        ThresholdKNNShapley().input_data(*data).train_data_values()
    with pytest.raises(UserError, match="cannot value regression data"):
        ThresholdKNNShapley().input_data(data[2], data[2][:, :1], data[2], data[2][:, :1])
