"""Games (utilities of one coalition) whose Shapley values are known, and brute force for those whose are not."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np


def shapley_by_definition(utility, n):
    """Equation 1 of the Unlearning Shapley paper, term by term."""
    values = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for coalition in combinations(others, size):
                values[i] += weight * (utility([*coalition, i]) - utility(list(coalition)))
    return values


def many(utility):
    """Utilities of many coalitions, which is what estimators ask for."""
    return lambda coalitions: np.array([utility(coalition) for coalition in coalitions])


def additive_game(worth):
    """Each player adds its worth; so that is its value."""
    return lambda coalition: float(np.sum(np.asarray(worth)[np.asarray(coalition, dtype=int)]))


def majority_game(weights):
    """1 if a coalition has more than half of the votes."""
    weights = np.asarray(weights, dtype=float)
    return lambda coalition: float(weights[np.asarray(coalition, dtype=int)].sum() > weights.sum() / 2)
