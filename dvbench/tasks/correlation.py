"""Spearman's correlation as tasks report it."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr


def rank_correlation(values: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Spearman's correlation and its two-sided p-value; 0 and 1 where either is constant."""
    if np.ptp(values) == 0 or np.ptp(reference) == 0:
        return 0.0, 1.0
    found = spearmanr(values, reference)
    return float(found.statistic), float(found.pvalue)
