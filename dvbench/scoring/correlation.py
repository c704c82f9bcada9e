"""Spearman's correlation as tasks report it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from scipy.stats import rankdata, spearmanr

MAX_EXACT = 7  # pairs up to which the p-value is computed from all orders


def rank_correlation(values: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Spearman's correlation and its two-sided p-value; 0 and 1 where one of the arrays is constant.

    For up to seven pairs the p-value is exact: the fraction of all orders that correlate at least as strongly. With
    three pairs it is never below a third.
    """
    if np.ptp(values) == 0 or np.ptp(reference) == 0:
        return 0.0, 1.0
    result = spearmanr(values, reference)
    statistic = float(result.statistic)
    if len(values) > MAX_EXACT:
        return statistic, float(result.pvalue)
    # Inner products of centred ranks are correlations up to a constant factor.
    ranks, reference_ranks = (rankdata(numbers) - (len(numbers) + 1) / 2 for numbers in (values, reference))
    products = np.array(list(permutations(ranks))) @ reference_ranks
    return statistic, float((np.abs(products) >= abs(ranks @ reference_ranks) - 1e-9).mean())
