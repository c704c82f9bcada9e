"""KNN Shapley."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from opendataval import dataval

from dvbench.number_checks import whole_number
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_rows, as_tensor
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import require_classes, require_finite_features

CHUNK_BYTES = 2**25  # of the arrays of one chunk of validation points; smaller chunks make matrix products slow
ROUNDING = 16 * np.finfo(np.float64).eps  # relative error of a squared distance that is computed from products
PAIR_BYTES = 40  # that a chunk takes for each pair of a player and a validation point


class KNNShapley(Baseline, dataval.KNNShapley):
    """KNN Shapley: exact Shapley values of a nearest-neighbour classifier, without any training.

    It takes O(m n log n) operations for n players and m validation points. Validation points are processed in chunks,
    so the memory beside the data is constant up to 800,000 players, and 40 bytes a player for more.

    Parameters
    ----------
    k_neighbors : int
        Number of neighbours.
    random_state : int or RandomState, optional
        Not used: the values are exact.

    Notes
    -----
    Variant: the utility and the recursion of the paper (Theorem 1), Euclidean distance, mean over validation
    points. OpenDataVal's values do not sum to the utility of all players if there are fewer players than neighbours;
    here they do. Of players at the same distance, the first is the nearer one.

    Values: gain of the accuracy of a nearest-neighbour classifier, between -1 and 1; positive values raise it.

    Takes: classifications, points and subsets; neither regressions nor texts. It uses no model.

    Between processors: equal up to rounding.

    References
    ----------
    R. Jia et al. Efficient task-specific data valuation for nearest neighbor algorithms. VLDB 2019,
    arXiv:1908.08619.
    """

    version: ClassVar[str] = "0.2.0"

    k_neighbors: int
    data_values: np.ndarray

    def __init__(self, k_neighbors: int = 10, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(whole_number("k_neighbors", k_neighbors), random_state=as_random_state(random_state))

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> KNNShapley:
        """Set the data, converted to tensors."""
        require_classes("knn_shapley", x_train, y_train)
        super().input_data(as_tensor(x_train), as_tensor(y_train), as_tensor(x_valid), as_tensor(y_valid))
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> KNNShapley:
        """Compute the values: a mean over validation points, chunk by chunk."""
        x, x_valid = (as_rows(part) for part in self.embeddings(self.x_train, self.x_valid))
        targets = np.concatenate([as_rows(self.y_train), as_rows(self.y_valid)])
        labels = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
        self.data_values = knn_shapley_values(x, labels[: len(x)], x_valid, labels[len(x) :], self.k_neighbors)
        return self


def knn_shapley_values(
    x: np.ndarray, labels: np.ndarray, x_valid: np.ndarray, labels_valid: np.ndarray, neighbours: int
) -> np.ndarray:
    """Exact Shapley values of U(S) = mean over validation points of (neighbours in S with its label) / K.

    The neighbours of a validation point are the K players of S that are nearest to it, or all of S if it has fewer.
    With players i = 1..n by distance, w_i = min(K, i) / (K i), and m_i = 1 if player i has the point's label or else 0,
    player i's value for the point is m_i w_i - sum over j > i of m_j (w_{j-1} - w_j).

    Parameters
    ----------
    x : numpy.ndarray of shape (n, d)
    labels : numpy.ndarray of int, shape (n,)
    x_valid : numpy.ndarray of shape (m, d)
    labels_valid : numpy.ndarray of int, shape (m,)
    neighbours : int
        K.

    Returns
    -------
    numpy.ndarray of shape (n,), float64

    Raises
    ------
    UserError
        If a feature is NaN or infinite.
    """
    n, rank = len(x), np.arange(1, len(x) + 1)
    weight = np.minimum(neighbours, rank) / (neighbours * rank)
    drop = np.concatenate([[0.0], weight[:-1] - weight[1:]])
    values = np.zeros(n)
    for start, key in _distance_keys(x, x_valid):
        # The lowest bits of a key say whose distance it is, and whether that player has the label. Such keys are sorted
        # in place by vectorised code, which is many times faster than sorting row numbers, and ties keep their order.
        key |= labels == labels_valid[start : start + len(key), np.newaxis]
        key.sort(axis=1)
        match = (key & 1).astype(np.float64)
        key >>= 1
        key &= 2**31 - 1
        farther = match * drop
        np.cumsum(farther[:, ::-1], axis=1, out=farther[:, ::-1])
        match *= weight
        match[:, :-1] -= farther[:, 1:]
        values += np.bincount(key.reshape(-1), weights=match.reshape(-1), minlength=n)
    return values / len(x_valid)


def _distance_keys(x: np.ndarray, x_valid: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Chunks of validation points: the number of the first, and keys (chunk, n) that are sorted as distances are.

    A key is the bits of a squared distance, a float32 that is not negative, then the player's number, then a zero.
    Distances are computed in float64 of features that are centred, since products lose the difference of large numbers.
    """
    require_finite_features("knn_shapley", x, x_valid)
    n = len(x)
    centre = x.mean(axis=0, dtype=np.float64)
    extent = max(float(np.abs([f(part, axis=0) - centre for f in (np.min, np.max)]).max()) for part in (x, x_valid))
    # A power of two changes no digit. It keeps squares in the range of float32.
    scale = 2.0 ** -np.frexp(extent)[1]
    columns = max(1, CHUNK_BYTES // (16 * max(1, x.shape[1])))
    numbers = np.arange(n, dtype=np.int64) << 1
    rows = max(1, CHUNK_BYTES // (PAIR_BYTES * n))
    for start in range(0, len(x_valid), rows):
        points = (x_valid[start : start + rows] - centre) * scale
        squares = np.einsum("ij,ij->i", points, points)[:, np.newaxis]
        distance = np.empty((len(points), n), dtype=np.float32)
        for first in range(0, n, columns):
            players = (x[first : first + columns] - centre) * scale
            total = squares + np.einsum("ij,ij->i", players, players)
            difference = total - 2 * (points @ players.T)
            # What is left of the rounding of equal points is no distance: they are as near as each other.
            difference[difference < ROUNDING * total] = 0
            distance[:, first : first + columns] = difference
        key = distance.view(np.uint32).astype(np.int64)
        key <<= 32
        key |= numbers
        yield start, key
