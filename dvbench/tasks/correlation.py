"""Spearman's correlation as tasks report it, and how many players it takes to mean something."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

FEWEST = 4  # players: of three, even a perfect ranking could be chance


def rank_correlation(values: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Spearman's correlation and its two-sided p-value; 0 and 1 where either is constant."""
    if np.ptp(values) == 0 or np.ptp(reference) == 0:
        return 0.0, 1.0
    found = spearmanr(values, reference)
    return float(found.statistic), float(found.pvalue)


def check_enough(players: int) -> None:
    """Raise a `ValueError` if there are fewer than `FEWEST` players."""
    if players < FEWEST:
        raise ValueError(f"{players} players are too few to compare rankings: at least {FEWEST} are needed")
