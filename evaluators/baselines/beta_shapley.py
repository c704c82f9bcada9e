"""Beta Shapley."""

from __future__ import annotations

import numpy as np
from opendataval import dataval
from scipy.special import betaln, logsumexp

from dvbench.number_checks import number
from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.sampling import PermutationSampler, SampledSemivalue


class BetaShapley(SampledSemivalue, Baseline, dataval.BetaShapley):
    """Beta Shapley: a semivalue of a retrained model's utility that gives small coalitions more weight.

    Parameters
    ----------
    permutations : int
        Number of permutations. Each costs one fit for each player.
    alpha, beta : float
        Parameters of the Beta distribution; (1, 1) is Data Shapley, (4, 1) the paper's choice.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: the paper's semivalue, estimated from whole permutations: OpenDataVal's algorithm with another sampler,
    which neither caches nor truncates, and with weights computed in log space. OpenDataVal's own weights overflow and
    are NaN from 1,072 points on. The utility of the empty coalition is that of the untrained model.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it.

    Takes: classifications, regressions and texts; points and subsets.

    Between processors: equal, unless rounding changes a prediction, and with it a utility by one correct prediction
    (docs/repeatability.md).

    References
    ----------
    Y. Kwon, J. Zou. Beta Shapley: a unified and noise-reduced data valuation framework for machine learning. AISTATS
    2022, arXiv:2110.14049. Equations 3 and 5.
    """

    takes_subsets = True

    def __init__(
        self,
        permutations: int = 10,
        alpha: float = 4,
        beta: float = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.permutations = permutations
        self.random_state = as_random_state(random_state)
        super().__init__(
            sampler=PermutationSampler(permutations, random_state=self.random_state),
            alpha=number("alpha", alpha, above=0),
            beta=number("beta", beta, above=0),
        )

    def compute_weight(self) -> np.ndarray:
        """Weight of each size of coalition; the weights sum to one.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        n, size = self.num_points, np.arange(self.num_points)
        logarithms = betaln(size + self.beta, n - size - 1 + self.alpha) - betaln(size + 1, n - size)
        weights: np.ndarray = np.exp(logarithms - logsumexp(logarithms))
        return weights
