"""GradMatch-PB: minibatches whose weighted gradients add up to the gradient of all points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from dvbench.selecting.contract import Points, Selected, SelectionStrategy

TOLERANCE = 1e-9  # relative; a column that agrees less with what is left of the target does not reduce it


@dataclass(frozen=True)
class GradMatchPB(SelectionStrategy):
    """GradMatch-PB: minibatches chosen, with weights, by orthogonal matching pursuit of the sum of their gradients.

    Points are divided into minibatches in their order. All points of a chosen minibatch have its weight.

    Notes
    -----
    Variant: weights are not negative, and not regularised.

    References
    ----------
    K. Killamsetty, D. Sivasubramanian, G. Ramakrishnan, A. De, R. Iyer. GRAD-MATCH: gradient matching based data subset
    selection for efficient deep model training. ICML 2021. Algorithm 2.
    """

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose minibatches; the last one is cut if there are more points than the budget."""
        size = points.how.batch_size
        columns = points.gradients.batch_means(size).double().cpu().numpy().T
        weights = matching_pursuit(columns, columns.sum(axis=1), -(-budget // size))
        batches = [np.arange(start, min(start + size, len(points))) for start in range(0, len(points), size)]
        chosen = sorted(np.flatnonzero(weights), key=lambda batch: -weights[batch])
        if not chosen:
            return np.empty(0, dtype=np.int64), None
        rows = np.concatenate([batches[batch] for batch in chosen])[:budget]
        return rows, np.concatenate([np.full(len(batches[batch]), weights[batch]) for batch in chosen])[:budget]


def matching_pursuit(columns: np.ndarray, target: np.ndarray, count: int) -> np.ndarray:
    """Orthogonal matching pursuit with weights that are not negative.

    Parameters
    ----------
    columns : numpy.ndarray of shape (d, m)
    target : numpy.ndarray of shape (d,)
    count : int
        Largest number of columns with a weight.

    Returns
    -------
    numpy.ndarray of shape (m,)
        Weights: 0 of columns that were not chosen.
    """
    basis, triangle = np.linalg.qr(columns)  # distances within the span of the columns are all that counts
    projected = basis.T @ target
    weights, active = np.zeros(columns.shape[1]), list[int]()
    size = np.linalg.norm(triangle, axis=0).max() * np.linalg.norm(projected)
    for _ in range(min(count, columns.shape[1])):
        agreement = triangle.T @ (projected - triangle @ weights)
        agreement[active] = -np.inf
        best = int(agreement.argmax())
        if agreement[best] <= TOLERANCE * size:
            break
        active.append(best)
        weights[active] = nnls(triangle[:, active], projected, maxiter=30 * len(active))[0]
    return weights
