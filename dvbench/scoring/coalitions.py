"""Coalitions that tasks draw."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.randomness import generator

HALVES = 100  # of the linear datamodeling scores of attribution


def half_coalitions(problem: Problem, number: int) -> list[np.ndarray]:
    """Coalitions of half of the players, rounded down: random ones without repetition, or all where there are few.

    They are the same for all evaluators, and the first ones are the same for every ``number``.

    Parameters
    ----------
    problem : Problem
    number : int
        How many are drawn.

    Returns
    -------
    list of numpy.ndarray of int, each of shape (players // 2,)
        Numbers of players, in ascending order.
    """
    n = problem.players
    half = n // 2
    if math.comb(n, half) <= number:
        return [np.array(players) for players in combinations(range(n), half)]
    rng = generator(problem.dataset, problem.seed, "lds")
    drawn: dict[tuple[int, ...], None] = {}  # a set that keeps its order
    while len(drawn) < number:
        drawn[tuple(np.sort(rng.permutation(n)[:half]).tolist())] = None
    return [np.array(players) for players in drawn]


def hundred_halves(problem: Problem, valuation: object = None) -> list[np.ndarray]:
    """100 random coalitions of half of the players, or all where there are fewer; see `half_coalitions`."""
    return half_coalitions(problem, HALVES)


def summed(values: np.ndarray, coalitions: list[np.ndarray]) -> np.ndarray:
    """Sum values over each coalition. Sums are rounded once, so that sums of the same values tie, in any order."""
    return np.array([math.fsum(values[players]) for players in coalitions])
