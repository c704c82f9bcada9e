"""Beta Shapley."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import BetaShapley
from scipy.special import betaln, logsumexp

from evaluators.common.sampling import PermutationSampler


class LogSpaceBetaShapley(BetaShapley):
    """OpenDataVal's Beta Shapley with weights computed in log space: its own are NaN from 1,072 points on."""

    takes_subsets = True

    def compute_weight(self) -> np.ndarray:
        """Weight of each coalition size, summing to one.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        n, size = self.num_points, np.arange(self.num_points)
        logarithms = betaln(size + self.beta, n - size - 1 + self.alpha) - betaln(size + 1, n - size)
        return np.exp(logarithms - logsumexp(logarithms))


def beta_shapley(
    permutations: int = 10,
    alpha: float = 4,
    beta: float = 1,
    random_state: int | np.random.RandomState | None = None,
) -> BetaShapley:
    """Beta Shapley: a semivalue of a retrained model's performance that weights small coalitions more.

    Parameters
    ----------
    permutations : int
        Each costs one fit a player.
    alpha, beta : float
        Parameters of the Beta distribution; (1, 1) is Data Shapley, (4, 1) the paper's choice.
    random_state : int or RandomState, optional

    Returns
    -------
    BetaShapley
        OpenDataVal's, with a sampler that neither caches nor truncates, and weights that do not overflow.

    References
    ----------
    Y. Kwon, J. Zou. Beta Shapley: a unified and noise-reduced data valuation framework for machine learning. AISTATS
    2022. Equations 3 and 5.
    """
    sampler = PermutationSampler(permutations, random_state=random_state)
    return LogSpaceBetaShapley(sampler=sampler, alpha=alpha, beta=beta)
