"""Spearman's correlation as tasks report it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from scipy.stats import rankdata, spearmanr

FEW = 7  # players up to which every order is looked at


def rank_correlation(values: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Spearman's correlation and its two-sided p-value; 0 and 1 where either is constant.

    For up to seven pairs the p-value is exact: the share of all orders that correlate as strongly. Of three pairs none
    is below a third.
    """
    if np.ptp(values) == 0 or np.ptp(reference) == 0:
        return 0.0, 1.0
    found = spearmanr(values, reference)
    statistic = float(found.statistic)
    if len(values) > FEW:
        return statistic, float(found.pvalue)
    # Centred ranks: inner products are correlations up to a factor.
    ranks, others = (rankdata(each) - (len(each) + 1) / 2 for each in (values, reference))
    products = np.array(list(permutations(ranks))) @ others
    return statistic, float((np.abs(products) >= abs(ranks @ others) - 1e-9).mean())
