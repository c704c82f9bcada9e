"""Shapley values of a game, by sampling permutations of its players, or exactly if that is cheaper.

A game is a function from a sequence of coalitions (arrays of distinct player numbers) to their utilities. It is called
with many coalitions at once, so that it can train or unlearn their models together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from dvbench.errors import unknown

Game = Callable[[Sequence[np.ndarray]], np.ndarray]

AT_ONCE = 128  # coalitions in one call of a game, unless the caller sets another number


@dataclass(frozen=True)
class Stopping:
    """When to stop sampling: at the first limit that is reached. At least one limit must be set.

    Parameters
    ----------
    permutations : int, optional
        Number of permutations. Antithetic permutations come in pairs, so an odd number is exceeded by one.
    seconds : float, optional
        Time. The number of permutations then depends on the machine, so values do not repeat to the bit.
    standard_error : float, optional
        Sample until no value has a larger standard error. The standard error of small samples is uncertain, so it is
        used only after `MINIMUM` permutations.
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
class Sampling:
    """How permutations are sampled, and when sampling stops: at the first limit that is reached.

    Parameters
    ----------
    permutations : int, optional
        Stop after this many permutations; 10 if no limit is set. If the utilities of all coalitions are not more than
        the permutations need, all coalitions are enumerated instead and the values are exact. With a time limit they
        are enumerated only if 10 permutations need as many.
    seconds : float, optional
        Stop after this time.
    target_standard_error : float, optional
        Stop when no value has a larger standard error.
    antithetic : bool
        Follow every permutation with its reverse.
    truncation : float, optional
        End a permutation early when the utility of its coalition is within this distance of its limit. What the limit
        is depends on the evaluator.
    """

    permutations: int | None = None
    seconds: float | None = None
    target_standard_error: float | None = None
    antithetic: bool = False
    truncation: float | None = None

    DEFAULT_PERMUTATIONS: ClassVar = 10

    def __post_init__(self) -> None:
        if not isinstance(self.antithetic, bool):
            raise ValueError(f"antithetic is true or false, not {self.antithetic!r}")
        if not isinstance(self.permutations, int | np.integer | None) or isinstance(self.permutations, bool):
            raise ValueError(f"permutations is a whole number, not {self.permutations!r}")
        for name in ("seconds", "target_standard_error", "truncation"):
            value = getattr(self, name)
            if not isinstance(value, float | int | np.number | None) or isinstance(value, bool):
                raise ValueError(f"{name} is a number, not {value!r}")
        self.stopping  # noqa: B018  # refuses limits that are not above 0

    @property
    def stopping(self) -> Stopping:
        """The limits."""
        permutations = self.permutations
        if permutations is None and self.seconds is None and self.target_standard_error is None:
            permutations = self.DEFAULT_PERMUTATIONS
        return Stopping(permutations, self.seconds, self.target_standard_error)


def make_sampling(sampling: Sampling | Mapping[str, Any] | None) -> Sampling:
    """Make the settings of sampling from a mapping, as a suite writes it; None stands for the defaults.

    Raises
    ------
    UserError
        If there is no such setting.
    ValueError
        If a value is not allowed.
    """
    if isinstance(sampling, Sampling):
        return sampling
    if sampling is not None and not isinstance(sampling, Mapping):
        raise ValueError(f"sampling is a mapping such as {{ permutations = 10 }}, not {sampling!r}")
    settings = dict(sampling or {})
    known = [field.name for field in fields(Sampling)]
    for name in settings:
        if name not in known:
            raise unknown("parameter of sampling", str(name), known)
    return Sampling(**settings)


@dataclass(frozen=True)
class ShapleyEstimate:
    """Shapley values with their standard errors.

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
    """Running mean of samples that are added a few at a time, and its standard error.

    Deviations are summed from the mean, not from zero, so little precision is lost if they are small compared with it.

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
    """Shapley values of a game, sampled or exact.

    All coalitions are enumerated if that needs no more utilities than the permutations would. Without a number of
    permutations `Stopping.MINIMUM` of them are compared, and with a time limit at most `Stopping.MINIMUM`.

    Parameters
    ----------
    game : callable
        Utilities of coalitions.
    n : int
        Number of players.
    stopping : Stopping
        If the time limit is reached within a permutation, that permutation is dropped, unless it is the first.
    rng : numpy.random.RandomState
        Source of the permutations.
    antithetic : bool
        Follow every permutation with its reverse, and treat both as one sample: players that came early then come late.
        (Mitchell et al., "Sampling permutations for Shapley value estimation", JMLR 2022, section 4.1.)
    limit : float
        Truncate a permutation where a utility reaches this limit: the players after it contribute nothing.
    at_once : int
        Coalitions in one call of the game. Sampling can stop between two calls.

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
    in_sample = 2 if antithetic else 1  # permutations
    while not (
        samples.count
        and stopping.reached(in_sample * samples.count, time.perf_counter() - started, samples.standard_errors)
    ):
        permutation = rng.permutation(n)
        sample = np.zeros(n)
        try:
            for order in (permutation, permutation[::-1])[:in_sample]:
                contributions = marginal_contributions(timed, order, empty, full, limit=limit, at_once=at_once)
                sample[order] += contributions / in_sample
        except _OutOfTimeError:
            break
        samples.add(sample[np.newaxis])
    return ShapleyEstimate(samples.mean, samples.standard_errors, in_sample * samples.count)


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
        Number of players in the first coalition, which get no contribution.
    limit : float
        Where a utility reaches this limit, the players that follow get no contribution.
    at_once : int
        Coalitions in one call of the game.

    Returns
    -------
    numpy.ndarray of shape (n - start,)
        In the order of the permutation. Without a limit they sum to the utility of all players minus ``empty``.
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
    """Whether all coalitions of n players need no more utilities than this many permutations."""
    return bool(2**n <= 2 + permutations * max(n - 1, 0))


def exact_marginal_contributions(game: Game, n: int) -> np.ndarray:
    """Mean marginal contributions for every size of coalition, by enumeration of all 2^n coalitions.

    Returns
    -------
    numpy.ndarray of shape (n, n)
        Entry (i, j): the mean marginal contribution of player i to coalitions of j other players.
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
    utilities = np.asarray(game(coalitions), dtype=float)
    if not np.isfinite(utilities).all():
        size = len(coalitions[int(np.argmin(np.isfinite(utilities)))])
        raise FloatingPointError(f"the utility of a coalition of {size} players is NaN or infinite")
    return utilities


def _coalitions(n: int) -> Iterator[np.ndarray]:
    for size in range(n + 1):
        for members in combinations(range(n), size):
            yield np.array(members, dtype=int)
