"""Shapley values of a game by sampling permutations of its players, or exactly where that is cheaper.

A game is a function from coalitions (arrays of distinct player numbers) to their utilities: of many at once, so that it
can train or unlearn their models together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

Game = Callable[[Sequence[np.ndarray]], np.ndarray]

AT_ONCE = 128  # coalitions, where a game has no wish of its own


@dataclass(frozen=True)
class Stopping:
    """When to stop sampling: at the first limit that is reached. At least one must be set.

    Parameters
    ----------
    permutations : int, optional
        Number of permutations; antithetic ones come in pairs, so an odd number is exceeded by one.
    seconds : float, optional
        Time. What it stops at depends on the machine, so values do not repeat to the bit.
    standard_error : float, optional
        Sample until no value's standard error is larger. The error of small samples is itself uncertain, so this is
        looked at only from `MINIMUM` permutations on.
    """

    permutations: int | None = None
    seconds: float | None = None
    standard_error: float | None = None

    MINIMUM: ClassVar = 10

    def __post_init__(self) -> None:
        limits = (self.permutations, self.seconds, self.standard_error)
        if all(limit is None for limit in limits):
            raise ValueError("set permutations, seconds or standard_error, or sampling never stops")
        if any(limit is not None and not limit > 0 for limit in limits):
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


class RunningMean:
    """Mean of samples that come a few at a time, and its standard error.

    Deviations are summed from the mean, not from zero, so little is lost where they are small beside it.

    Parameters
    ----------
    n : int
        Numbers in a sample.

    Attributes
    ----------
    count : int
    mean : numpy.ndarray of shape (n,)
    """

    def __init__(self, n: int) -> None:
        self.count = 0
        self.mean = np.zeros(n)
        self._squares = np.zeros(n)  # of deviations from the mean, summed

    def add(self, samples: np.ndarray) -> None:
        """Add samples, (k, n) with k >= 1 (Chan, Golub and LeVeque, 1983, equation 2.1)."""
        k, mean = len(samples), samples.mean(axis=0)
        change = mean - self.mean
        total = self.count + k
        self.mean = self.mean + change * (k / total)
        self._squares = (
            self._squares + np.square(samples - mean).sum(axis=0) + np.square(change) * (self.count * k / total)
        )
        self.count = total

    @property
    def standard_errors(self) -> np.ndarray:
        """Standard errors of the mean, (n,); infinite before the second sample."""
        if self.count < 2:
            return np.full(len(self.mean), np.inf)
        return np.sqrt(self._squares / (self.count - 1) / self.count)


class _OutOfTimeError(Exception):
    pass


def shapley_values(
    game: Game,
    n: int,
    stopping: Stopping,
    rng: np.random.RandomState,
    *,
    antithetic: bool = False,
    limit: float = np.inf,
    at_once: int = AT_ONCE,
) -> ShapleyEstimate:
    """Shapley values of a game.

    Every coalition is enumerated where that takes no more utilities than the asked permutations would; where no number
    of them is asked, or there is a time limit, than `Stopping.MINIMUM` of them would at most.

    Parameters
    ----------
    game : callable
        Utilities of coalitions.
    n : int
        Number of players.
    stopping : Stopping
        When time is up in the middle of a permutation, what there is of it is dropped, unless it is the first.
    rng : numpy.random.RandomState
        Draws the permutations.
    antithetic : bool
        Follow every permutation with its reverse, and take both as one sample: who came early then comes late.
        (Mitchell et al., "Sampling permutations for Shapley value estimation", JMLR 2022, section 4.1.)
    limit : float
        Truncate a permutation where a utility reaches this: players after it contribute nothing to it.
    at_once : int
        Coalitions asked for at once. Between two such requests sampling can stop.

    Returns
    -------
    ShapleyEstimate

    Raises
    ------
    FloatingPointError
        If a utility is NaN or infinite.
    """
    enough = stopping.permutations or Stopping.MINIMUM
    if stopping.seconds is not None:
        enough = min(enough, Stopping.MINIMUM)
    if enumerable(n, enough):
        return ShapleyEstimate(exact_shapley_values(game, n), np.zeros(n), 0)
    started, samples = time.perf_counter(), RunningMean(n)

    def timed(coalitions: Sequence[np.ndarray]) -> np.ndarray:
        if samples.count and stopping.seconds is not None and time.perf_counter() - started >= stopping.seconds:
            raise _OutOfTimeError
        return game(coalitions)

    empty, full = _utilities(game, [np.arange(0), np.arange(n)])
    each = 2 if antithetic else 1
    while not (
        samples.count and stopping.reached(each * samples.count, time.perf_counter() - started, samples.standard_errors)
    ):
        permutation = rng.permutation(n)
        sample = np.zeros(n)
        try:
            for order in (permutation, permutation[::-1])[:each]:
                sample[order] += marginal_contributions(timed, order, empty, full, limit=limit, at_once=at_once) / each
        except _OutOfTimeError:
            break
        samples.add(sample[np.newaxis])
    return ShapleyEstimate(samples.mean, samples.standard_errors, each * samples.count)


def marginal_contributions(
    game: Game,
    permutation: np.ndarray,
    empty: float,
    full: float | None = None,
    start: int = 0,
    limit: float = np.inf,
    at_once: int = AT_ONCE,
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
    limit : float
        Where a utility reaches this, the players that follow get no contribution.
    at_once : int
        Coalitions asked for at once.

    Returns
    -------
    numpy.ndarray of shape (n - start,)
        In the order of the permutation; without a limit they sum to the utility of all players less ``empty``.
    """
    n = len(permutation)
    last = n if full is None else n - 1
    utilities = np.array([empty])
    for block in np.split(np.arange(start + 1, last + 1), np.arange(at_once, last - start, at_once)):
        if utilities.max() < limit and len(block):
            utilities = np.append(utilities, _utilities(game, [permutation[:size] for size in block]))
    if full is not None and n > start:
        utilities = np.append(utilities, full)
    reached = np.flatnonzero(utilities >= limit)
    if len(reached):
        utilities = utilities[: reached[0] + 1]
    contributions = np.zeros(n - start)
    contributions[: len(utilities) - 1] = np.diff(utilities)
    return contributions


def exact_shapley_values(game: Game, n: int) -> np.ndarray:
    """Shapley values by enumeration of all 2^n coalitions.

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    values, coalitions = np.zeros(n), list(_coalitions(n))
    for coalition, utility in zip(coalitions, _utilities(game, coalitions), strict=True):
        size = len(coalition)
        inside = np.zeros(n, dtype=bool)
        inside[coalition] = True
        if size:
            values[inside] += utility / (size * math.comb(n, size))
        if size < n:
            values[~inside] -= utility / ((n - size) * math.comb(n, size))
    return values


def tabulated_shapley_values(utilities: np.ndarray) -> np.ndarray:
    """Shapley values of a game, ``phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (u(S + i) - u(S))``.

    Other than in `exact_shapley_values`, sums are rounded only once, so that interchangeable players have equal values.

    Parameters
    ----------
    utilities : numpy.ndarray of shape (2**n,)
        Utilities of all coalitions: player i is in coalition k where bit i of k is set.

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    n = len(utilities).bit_length() - 1
    weights = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])
    masks = np.arange(2**n)
    values = np.empty(n)
    for player in range(n):
        without = masks[masks >> player & 1 == 0]
        gains = utilities[without | 1 << player] - utilities[without]
        values[player] = math.fsum(weights[np.bitwise_count(without)] * gains)
    return values


def enumerable(n: int, permutations: int) -> bool:
    """Whether all coalitions of n players take no more utilities than so many permutations."""
    return 2**n <= 2 + permutations * max(n - 1, 0)


def exact_marginal_contributions(game: Game, n: int) -> np.ndarray:
    """Mean marginal contributions by size of coalition, by enumeration of all 2^n.

    Returns
    -------
    numpy.ndarray of shape (n, n)
        Entry (i, j): what player i adds to coalitions of j others, on average over all of those.
    """
    coalitions = list(_coalitions(n))
    known = dict(zip(map(frozenset, (c.tolist() for c in coalitions)), _utilities(game, coalitions), strict=True))
    contributions = np.zeros((n, n))
    for coalition, utility in known.items():
        for player in set(range(n)) - coalition:
            gain = known[coalition | {player}] - utility
            contributions[player, len(coalition)] += gain / math.comb(n - 1, len(coalition))
    return contributions


def _utilities(game: Game, coalitions: Sequence[np.ndarray]) -> np.ndarray:
    found = np.asarray(game(coalitions), dtype=float)
    if not np.isfinite(found).all():
        size = len(coalitions[int(np.argmin(np.isfinite(found)))])
        raise FloatingPointError(f"the utility of a coalition of {size} players is NaN or infinite")
    return found


def _coalitions(n: int) -> Iterator[np.ndarray]:
    for size in range(n + 1):
        for members in combinations(range(n), size):
            yield np.array(members, dtype=int)
