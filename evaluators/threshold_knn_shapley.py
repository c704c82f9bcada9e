"""Threshold KNN Shapley: exact Shapley values of a classifier that asks all neighbours within a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from dvbench.number_checks import number
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_rows, as_tensor
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_classes, require_finite_features

CHUNK = 2**22  # pairs of a player and a validation point that are compared together: 80 MB


class ThresholdKNNShapley(OwnEvaluator):
    """Threshold KNN Shapley: exact Shapley values of a classifier by all neighbours within a threshold, no training.

    The neighbours of a validation point are the players whose cosine similarity with it is at least a threshold. The
    utility of a coalition is the share of its neighbours that have the point's label, or 1 / classes if it has none;
    the mean over validation points. A value is a gain of this accuracy: positive values raise it, all are between -1
    and 1, and they sum to the utility of all players less 1 / classes.

    It takes O(m n d) operations for n players, m validation points and d features, and no fit: no sorting, and no
    number of neighbours. It takes neither texts nor regression data.

    Parameters
    ----------
    threshold : float
        Cosine similarity from which a player is a neighbour; above -1 and below 1.
    random_state : int or RandomState, optional
        Not used: the values are exact.

    Notes
    -----
    Variant: the paper's utility and distance, with its threshold of 0.5 as the default, on features from which the mean
    of the players is subtracted: otherwise all points of data without negative numbers are similar. The closed form was
    derived anew. Tested against enumeration of all coalitions.

    Values: gain of the accuracy of a classifier by neighbours, between -1 and 1; positive values raise it.

    Takes: classifications, points and subsets; neither regressions nor texts. It uses no model.

    Between processors: equal up to rounding, except that a similarity that is the threshold up to rounding can fall on
    either side.

    References
    ----------
    J. T. Wang, Y. Zhu, Y.-X. Wang, R. Jia, P. Mittal. Threshold KNN-Shapley: a linear-time and privacy-friendly
    approach to data valuation. NeurIPS 2023, arXiv:2308.15709. Section 4.
    """

    def __init__(self, threshold: float = 0.5, random_state: int | np.random.RandomState | None = None) -> None:
        self.threshold = number("threshold", threshold, above=-1, below=1)
        self.random_state = as_random_state(random_state)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> ThresholdKNNShapley:
        """Set the data, converted to tensors."""
        require_classes("threshold_knn_shapley", x_train, y_train)
        super().input_data(*(as_tensor(part) for part in (x_train, y_train, x_valid, y_valid)))
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> ThresholdKNNShapley:
        """Compute the values."""
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        x, y, x_valid, y_valid = map(as_rows, (self.x_train, self.y_train, self.x_valid, self.y_valid))
        self.values_ = threshold_knn_shapley_values(x, y, x_valid, y_valid, self.threshold)
        return self


def threshold_knn_shapley_values(
    x: np.ndarray, y: np.ndarray, x_valid: np.ndarray, y_valid: np.ndarray, threshold: float
) -> np.ndarray:
    """Exact Shapley values of U(S) = mean over validation points of the share of its neighbours in S with its label.

    Without a neighbour the share is 1 / classes. Only the c neighbours of a point among all players have a value for
    it. After k of the others, player i changes the mean share by (m_i - r_i) / (k + 1), where m_i = 1 if it has the
    label or else 0, and r_i is the share of players with the label among the other neighbours. With H_c = 1 + 1/2 + ...
    + 1/c, its value is (m_i - 1 / classes + (m_i - r_i) (H_c - 1)) / c.

    Parameters
    ----------
    x : numpy.ndarray of shape (n, d)
    y : numpy.ndarray of shape (n, classes)
        One-hot labels.
    x_valid : numpy.ndarray of shape (m, d)
    y_valid : numpy.ndarray of shape (m, classes)
    threshold : float
        Smallest cosine similarity of neighbours, after the mean of ``x`` was subtracted.

    Returns
    -------
    numpy.ndarray of shape (n,), float64

    Raises
    ------
    UserError
        If a feature is NaN or infinite.
    """
    require_finite_features("threshold_knn_shapley", x, x_valid)
    centre, classes = x.mean(axis=0, dtype=np.float64), y.shape[1]
    directions, directions_valid = (_normalised(part - centre) for part in (x, x_valid))
    labels, labels_valid = y.argmax(axis=1), y_valid.argmax(axis=1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(x) + 1))])
    values = np.zeros(len(x))
    step = max(1, CHUNK // len(x))
    for start in range(0, len(x_valid), step):
        near = directions_valid[start : start + step] @ directions.T >= threshold
        match = labels_valid[start : start + step, np.newaxis] == labels
        count = near.sum(axis=1, keepdims=True)
        others = (near & match).sum(axis=1, keepdims=True) - match  # neighbours with the label besides the player
        later = (match - others / np.maximum(count - 1, 1)) * (harmonic[count] - 1)
        values += np.where(near, (match - 1 / classes + later) / np.maximum(count, 1), 0).sum(axis=0)
    return values / len(x_valid)


def _normalised(rows: np.ndarray) -> np.ndarray:
    """Rows of length one; rows of zeros stay, and are similar to nothing."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    result: np.ndarray = rows / np.where(norms > 0, norms, 1)
    return result
