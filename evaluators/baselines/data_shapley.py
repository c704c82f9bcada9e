"""Data Shapley."""

from __future__ import annotations

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.sampling import PermutationSampler, SampledSemivalue


class DataShapley(SampledSemivalue, Baseline, dataval.DataShapley):
    """Data Shapley: Shapley values of a retrained model's utility, from random permutations.

    Parameters
    ----------
    permutations : int
        Number of permutations. Each costs one fit for each player. If enumerating all coalitions takes no more fits
        than the permutations, they are enumerated and the values are exact.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: the paper's Shapley value, estimated from whole permutations: OpenDataVal's algorithm with another sampler,
    which neither caches nor truncates. The utility of the empty coalition is that of the untrained model.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it, and all sum to the utility
    of all players less that of none.

    Takes: classifications, regressions and texts; points and subsets.

    Between processors: equal, unless rounding changes a prediction, and with it a utility by one correct prediction
    (docs/repeatability.md).

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019, arXiv:1904.02868.
    """

    takes_subsets = True

    def __init__(self, permutations: int = 10, random_state: int | np.random.RandomState | None = None) -> None:
        self.permutations = permutations
        self.random_state = as_random_state(random_state)
        super().__init__(sampler=PermutationSampler(permutations, random_state=self.random_state))
