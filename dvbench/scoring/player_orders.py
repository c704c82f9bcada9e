"""The orders in which tasks remove and add players."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.randomness import generator


def ascending(problem: Problem, values: np.ndarray) -> np.ndarray:
    """Players from the lowest value to the highest; ties in a seeded random order.

    Returns
    -------
    numpy.ndarray of int, shape (n,)
    """
    ties = generator(problem.dataset, problem.seed, "ties").permutation(len(values))
    return np.lexsort((ties, values))


def random_order(problem: Problem) -> np.ndarray:
    """Players in the problem's seeded random order, the same for all evaluators.

    Returns
    -------
    numpy.ndarray of int, shape (n,)
    """
    return generator(problem.dataset, problem.seed, "random order").permutation(problem.players)


def ranked_orders(problem: Problem, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Players from the highest value to the lowest, from the lowest to the highest, and in random order."""
    order = ascending(problem, values)
    return order[::-1], order, random_order(problem)


def removal_counts(n: int) -> list[int]:
    """How many of n players are removed at 0, 5, ..., 95%; at least one player always remains."""
    return [min(n - 1, round(step * n / 20)) for step in range(20)]
