"""Shapley values of a game by sampling permutations of its players, or exactly where that is cheaper.

A game is a function from a coalition (an array of distinct player numbers) to its utility.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Game = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Stopping:
    """When to stop sampling: at the first limit that is reached. At least one must be set.

    Parameters
    ----------
    permutations : int, optional
        Number of permutations.
    seconds : float, optional
        Time. What it stops at depends on the machine, so values do not repeat to the bit.
    standard_error : float, optional
        Sample until no value's standard error is larger. The error of small samples is itself uncertain, so this is
        looked at only from `MINIMUM` permutations on.
    """

    permutations: int | None = None
    seconds: float | None = None
    standard_error: float | None = None

    MINIMUM = 10

    def __post_init__(self) -> None:
        limits = (self.permutations, self.seconds, self.standard_error)
        if all(limit is None for limit in limits):
            raise ValueError("set permutations, seconds or standard_error, or sampling never stops")
        if any(limit is not None and limit <= 0 for limit in limits):
            raise ValueError("permutations, seconds and standard_error must be above 0")

    def reached(self, permutations: int, seconds: float, standard_errors: np.ndarray) -> bool:
        """Whether to stop after this many permutations and seconds with these errors."""
        if self.permutations is not None and permutations >= self.permutations:
            return True
        if self.seconds is not None and seconds >= self.seconds:
            return True
        return (
            self.standard_error is not None
            and permutations >= self.MINIMUM
            and float(standard_errors.max()) <= self.standard_error
        )


@dataclass(frozen=True)
class ShapleyEstimate:
    """Values with what is known of their error.

    Parameters
    ----------
    values : numpy.ndarray of shape (n,)
    standard_errors : numpy.ndarray of shape (n,)
        0 where the values are exact, infinite after a single permutation.
    permutations : int
        Number of permutations sampled; 0 where the values are exact.
    """

    values: np.ndarray
    standard_errors: np.ndarray
    permutations: int


def shapley_values(game: Game, n: int, stopping: Stopping, rng: np.random.RandomState) -> ShapleyEstimate:
    """Shapley values of a game.

    Every coalition is enumerated where that takes no more utilities than the asked permutations would.

    Parameters
    ----------
    game : callable
        Utility of a coalition.
    n : int
        Number of players.
    stopping : Stopping
    rng : numpy.random.RandomState
        Draws the permutations.

    Returns
    -------
    ShapleyEstimate
    """
    if stopping.permutations is not None and 2**n <= stopping.permutations * (n + 1):
        return ShapleyEstimate(exact_shapley_values(game, n), np.zeros(n), 0)
    started = time.perf_counter()
    mean, squares, count = np.zeros(n), np.zeros(n), 0
    errors = np.full(n, np.inf)
    empty, full = game(np.arange(0)), game(np.arange(n))
    while not (count and stopping.reached(count, time.perf_counter() - started, errors)):
        permutation = rng.permutation(n)
        sample = np.empty(n)
        sample[permutation] = marginal_contributions(game, permutation, empty, full)
        count += 1
        change = sample - mean
        mean += change / count
        squares += change * (sample - mean)
        if count > 1:
            errors = np.sqrt(squares / (count - 1) / count)
    return ShapleyEstimate(mean, errors, count)


def marginal_contributions(
    game: Game, permutation: np.ndarray, empty: float, full: float | None = None, start: int = 0
) -> np.ndarray:
    """Marginal contributions along a permutation.

    Parameters
    ----------
    game : callable
    permutation : numpy.ndarray of int, shape (n,)
    empty : float
        Utility of the first ``start`` players.
    full : float, optional
        Utility of all players, if it is known.
    start : int
        Players that are there from the beginning and get no contribution.

    Returns
    -------
    numpy.ndarray of shape (n - start,)
        In the order of the permutation; they sum to the utility of all players less ``empty``.
    """
    n = len(permutation)
    last = n if full is None else n - 1
    utilities = [empty, *(game(permutation[:size]) for size in range(start + 1, last + 1))]
    if full is not None and n > start:
        utilities.append(full)
    return np.diff(utilities)


def exact_shapley_values(game: Game, n: int) -> np.ndarray:
    """Shapley values by enumeration of all 2^n coalitions.

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    values = np.zeros(n)
    for coalition in _coalitions(n):
        utility, size = game(coalition), len(coalition)
        inside = np.zeros(n, dtype=bool)
        inside[coalition] = True
        if size:
            values[inside] += utility / (size * math.comb(n, size))
        if size < n:
            values[~inside] -= utility / ((n - size) * math.comb(n, size))
    return values


def _coalitions(n: int) -> Iterator[np.ndarray]:
    for size in range(n + 1):
        for members in combinations(range(n), size):
            yield np.array(members, dtype=int)
