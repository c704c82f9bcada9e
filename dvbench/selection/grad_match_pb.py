"""GradMatch-PB: minibatches whose weighted gradients add up to the gradient of all points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from dvbench.selecting.contract import Points, Selected, SelectionStrategy

SMALLEST = 1e-12  # of an eigenvalue that is not 0, relative to the largest
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
    selection for efficient deep model training. ICML 2021, arXiv:2103.00123. Algorithm 2.
    """

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose minibatches; the last one is cut if there are more points than the budget."""
        size = points.how.batch_size
        means = points.gradients.batch_means(size).double()
        gram = (means @ means.T).cpu().numpy()
        weights = matching_pursuit(gram, gram.sum(axis=1), -(-budget // size))
        batches = [np.arange(start, min(start + size, len(points))) for start in range(0, len(points), size)]
        chosen = sorted(np.flatnonzero(weights), key=lambda batch: -weights[batch])
        if not chosen:
            return np.empty(0, dtype=np.int64), None
        rows = np.concatenate([batches[batch] for batch in chosen])[:budget]
        return rows, np.concatenate([np.full(len(batches[batch]), weights[batch]) for batch in chosen])[:budget]


def matching_pursuit(gram: np.ndarray, agreement: np.ndarray, count: int) -> np.ndarray:
    """Orthogonal matching pursuit with weights that are not negative, of a target in the span of the columns.

    Parameters
    ----------
    gram : numpy.ndarray of shape (m, m)
        Inner products of the columns A, A^T A.
    agreement : numpy.ndarray of shape (m,)
        Inner products of the columns with the target b, A^T b.
    count : int
        Largest number of columns with a weight.

    Returns
    -------
    numpy.ndarray of shape (m,)
        Weights: 0 of columns that were not chosen.
    """
    spectrum, basis = np.linalg.eigh(gram)
    spanned = spectrum > SMALLEST * spectrum.max()
    roots = np.sqrt(spectrum[spanned])
    # Columns and target in an orthonormal basis of the span of the columns.
    columns, target = roots[:, np.newaxis] * basis[:, spanned].T, basis[:, spanned].T @ agreement / roots
    weights, active = np.zeros(len(gram)), list[int]()
    scale = np.sqrt(gram.diagonal().max()) * np.linalg.norm(target)
    for _ in range(min(count, len(gram))):
        left = agreement - gram @ weights
        left[active] = -np.inf
        best = int(left.argmax())
        if left[best] <= TOLERANCE * scale:
            break
        active.append(best)
        weights[active] = nnls(columns[:, active], target, maxiter=30 * len(active))[0]
    return weights
