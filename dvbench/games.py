"""Shapley values of a game, by sampling permutations of its players, or exactly if that is cheaper.

A game is a function from a sequence of coalitions (arrays of distinct player numbers, in ascending order) to their
utilities. It is called with many coalitions at once, so that it can train or unlearn their models together. A
`RandomGame` is a game whose utilities also depend on random numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from dvbench.progress import advance
from dvbench.sampling import RunningMean, Stopping

if TYPE_CHECKING:
    import torch

Game = Callable[[Sequence[np.ndarray]], np.ndarray]
Array = TypeVar("Array", np.ndarray, "torch.Tensor")

AT_ONCE = 128  # coalitions in one call of a game, unless the caller sets another number


@dataclass(frozen=True)
class RandomGame:
    """A game whose utilities depend on random numbers, such as those that select minibatches.

    Its Shapley values are those of the expected utilities. Within one draw all coalitions share the random numbers, so
    that the difference of two utilities comes from the difference of their coalitions. Each sample (a permutation, a
    pair of antithetic permutations, or an enumeration of all coalitions) has its own draw, so that the standard errors
    include the randomness of the game.

    Parameters
    ----------
    draw : callable
        Function from a number (0, 1, ...) to the game with the random numbers of that draw.
    """

    draw: Callable[[int], Game]


@dataclass(frozen=True)
class ShapleyEstimate:
    """Shapley values with their standard errors.

    Parameters
    ----------
    values : numpy.ndarray of shape (n,)
    standard_errors : numpy.ndarray of shape (n,)
        0 where the values are exact, infinite (unknown) after a single permutation or draw. Of players all of whose
        samples are equal it is a bound, see `dvbench.sampling.RunningMean`; it is 0 too if all samples of all players
        are 0.
    permutations : int
        Number of permutations sampled; 0 if all coalitions were enumerated.
    draws : int
        Number of draws of a random game; 0 for other games.
    """

    values: np.ndarray
    standard_errors: np.ndarray
    permutations: int
    draws: int = 0


class _OutOfTimeError(Exception):
    pass


def shapley_values(
    game: Game | RandomGame,
    n: int,
    stopping: Stopping,
    rng: np.random.RandomState,
    *,
    antithetic: bool = False,
    draws: int | None = None,
    limit: float = np.inf,
    at_once: int = AT_ONCE,
) -> ShapleyEstimate:
    """Shapley values of a game, sampled or by enumeration.

    All coalitions are enumerated if that needs no more utilities than the permutations would. Without a number of
    permutations `Stopping.MINIMUM` of them are compared, and with a time limit at most `Stopping.MINIMUM`.

    Parameters
    ----------
    game : callable or RandomGame
        Utilities of coalitions.
    n : int
        Number of players.
    stopping : Stopping
        If the time limit is reached within a permutation, that permutation is dropped, unless it is the first. An
        enumeration is finished.
    rng : numpy.random.RandomState
        Source of the permutations.
    antithetic : bool
        Follow every permutation with its reverse, and treat both as one sample: players that came early then come late.
        (Mitchell et al., "Sampling permutations for Shapley value estimation", JMLR 2022, section 4.1.)
    draws : int, optional
        How often a random game is enumerated, each time with another draw. By default as often as the number of
        permutations pays for, at least once; without that number, until another limit is reached.
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
    if not enumerable(n, enough):
        return _sampled(game, n, stopping, rng, 2 if antithetic else 1, limit, at_once)
    if not isinstance(game, RandomGame):
        return ShapleyEstimate(exact_shapley_values(game, n), np.zeros(n), 0)
    if draws is None and stopping.permutations is not None:
        draws = affordable_enumerations(n, stopping.permutations)
    return _enumerated(game, n, replace(stopping, permutations=draws))


def _enumerated(game: RandomGame, n: int, stopping: Stopping) -> ShapleyEstimate:
    """Mean of the exact values of draws of a game, where ``stopping.permutations`` is the number of draws."""
    started, samples = time.perf_counter(), RunningMean(n)
    while not (
        samples.count and stopping.reached(samples.count, time.perf_counter() - started, samples.standard_errors)
    ):
        samples.add(exact_shapley_values(game.draw(samples.count), n)[np.newaxis])
    return ShapleyEstimate(samples.mean, samples.standard_errors, 0, samples.count)


def _sampled(
    game: Game | RandomGame,
    n: int,
    stopping: Stopping,
    rng: np.random.RandomState,
    in_sample: int,
    limit: float,
    at_once: int,
) -> ShapleyEstimate:
    """Sample ``in_sample`` permutations at a time, the second of which is the reverse of the first."""
    started, samples = time.perf_counter(), RunningMean(n)

    def timed(coalitions: Sequence[np.ndarray]) -> np.ndarray:
        if samples.count and stopping.seconds is not None and time.perf_counter() - started >= stopping.seconds:
            raise _OutOfTimeError
        return game_of_sample(coalitions)

    while not (
        samples.count
        and stopping.reached(in_sample * samples.count, time.perf_counter() - started, samples.standard_errors)
    ):
        permutation = rng.permutation(n)
        sample = np.zeros(n)
        try:
            if isinstance(game, RandomGame) or not samples.count:
                game_of_sample = game.draw(samples.count) if isinstance(game, RandomGame) else game
                empty, full = utilities_of(timed, [np.arange(0), np.arange(n)])
            for order in (permutation, permutation[::-1])[:in_sample]:
                contributions = marginal_contributions(timed, order, empty, full, limit=limit, at_once=at_once)
                sample[order] += contributions / in_sample
        except _OutOfTimeError:
            break
        samples.add(sample[np.newaxis])
        if stopping.permutations:
            advance(in_sample * samples.count, stopping.permutations)
    draws = samples.count if isinstance(game, RandomGame) else 0
    return ShapleyEstimate(samples.mean, samples.standard_errors, in_sample * samples.count, draws)


def marginal_contributions(
    game: Game,
    permutation: np.ndarray,
    empty: float,
    full: float | None = None,
    limit: float = np.inf,
    at_once: int = AT_ONCE,
) -> np.ndarray:
    """Marginal contributions along a permutation.

    Parameters
    ----------
    game : callable
    permutation : numpy.ndarray of int, shape (n,)
    empty : float
        Utility of no players.
    full : float, optional
        Utility of all players, if it is known.
    limit : float
        Where a utility reaches this limit, the players that follow get no contribution.
    at_once : int
        Coalitions in one call of the game.

    Returns
    -------
    numpy.ndarray of shape (n,)
        In the order of the permutation. Without a limit they sum to the utility of all players minus ``empty``.
    """
    n = len(permutation)
    last = n if full is None else n - 1
    utilities = np.array([empty])
    for block in np.split(np.arange(1, last + 1), np.arange(at_once, last, at_once)):
        if utilities.max() < limit and len(block):
            utilities = np.append(utilities, utilities_of(game, [permutation[:size] for size in block]))
    if full is not None and n:
        utilities = np.append(utilities, full)
    reached = np.flatnonzero(utilities >= limit)
    if len(reached):
        utilities = utilities[: reached[0] + 1]
    contributions = np.zeros(n)
    contributions[: len(utilities) - 1] = np.diff(utilities)
    return contributions


def exact_shapley_values(game: Game, n: int) -> np.ndarray:
    """Shapley values by enumeration of all 2^n coalitions.

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    values, coalitions = np.zeros(n), list(_coalitions(n))
    for coalition, utility in zip(coalitions, utilities_of(game, coalitions), strict=True):
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


def all_coalitions(n: int) -> list[np.ndarray]:
    """All coalitions of n players, in the order of `tabulated_shapley_values`."""
    return [np.flatnonzero(mask >> np.arange(n) & 1) for mask in range(2**n)]


def enumerable(n: int, permutations: int) -> bool:
    """Whether all coalitions of n players need no more utilities than this many permutations."""
    return bool(2**n <= _utilities_of(permutations, n))


def affordable_enumerations(n: int, permutations: int) -> int:
    """How often all coalitions of n players can be enumerated with the utilities of permutations; at least once."""
    return int(max(1, _utilities_of(permutations, n) // 2**n))


def _utilities_of(permutations: int, n: int) -> int:
    """Number of utilities that permutations of n players need: those inside each of them, and of none and all."""
    return 2 + permutations * max(n - 1, 0)


def exact_marginal_contributions(game: Game, n: int) -> np.ndarray:
    """Mean marginal contributions for every size of coalition, by enumeration of all 2^n coalitions.

    Returns
    -------
    numpy.ndarray of shape (n, n)
        Entry (i, j): the mean marginal contribution of player i to coalitions of j other players.
    """
    coalitions = list(_coalitions(n))
    known = dict(zip(map(frozenset, (c.tolist() for c in coalitions)), utilities_of(game, coalitions), strict=True))
    contributions = np.zeros((n, n))
    for coalition, utility in known.items():
        for player in set(range(n)) - coalition:
            gain = known[coalition | {player}] - utility
            contributions[player, len(coalition)] += gain / math.comb(n - 1, len(coalition))
    return contributions


def utilities_of(game: Game, coalitions: Sequence[np.ndarray]) -> np.ndarray:
    """Utilities of coalitions, whose members may be in any order.

    Raises
    ------
    FloatingPointError
        If a utility is NaN or infinite.
    """
    # Sorted, so that a utility is a function of the set and not of the order in which a permutation lists it.
    utilities = np.asarray(game([np.sort(coalition) for coalition in coalitions]), dtype=float)
    if not np.isfinite(utilities).all():
        size = len(coalitions[int(np.argmin(np.isfinite(utilities)))])
        raise FloatingPointError(f"the utility of a coalition of {size} players is NaN or infinite")
    return utilities


def _coalitions(n: int) -> Iterator[np.ndarray]:
    for size in range(n + 1):
        for members in combinations(range(n), size):
            yield np.array(members, dtype=int)


def mean_distance_values(n: int, xx: float, ss: float, sa: float, norms: Array, dots_s: Array, dots_a: Array) -> Array:
    """Shapley values of U(S) = ||a||^2 - ||a - mean_{i in S} x_i||^2, U(empty) = 0, from inner products alone.

    The closed form of Theorem 1 of the CHG Shapley paper, derived anew; s is the sum of the features x_i of all
    players.

    Parameters
    ----------
    n : int
        Number of players in the game.
    xx, ss, sa : float
        The sum of ||x_i||^2 over all players, ||s||^2 and <s, a>.
    norms, dots_s, dots_a : numpy.ndarray or torch.Tensor of shape (m,)
        ||x_j||^2, <x_j, s> and <x_j, a> of the players whose values are computed.

    Returns
    -------
    numpy.ndarray or torch.Tensor of shape (m,)
    """
    from scipy.special import digamma, zeta

    if n == 1:
        single: Array = 2 * dots_a - norms
        return single
    h1 = float(digamma(n + 1)) + np.euler_gamma  # sum of 1/k over k = 1..n
    h2 = float(np.pi**2 / 6 - zeta(2, n + 1))  # sum of 1/k^2
    g = (h1 - 1) / (n - 1)
    c1 = (h1 - h2) / (n - 1)
    cq = (1 / n - h2) / (n - 1)
    cs = (1 - 1 / n - 2 * (h1 - h2)) / ((n - 1) * (n - 2)) if n > 2 else 0.0
    constant = 2 * g * sa + cq * xx + cs * (ss - xx)  # the terms that all players have in common
    return (2 * (h1 + g) * dots_a - 2 * (c1 - cs) * dots_s - (h2 - 2 * c1 - cq + 2 * cs) * norms - constant) / n
