"""Which differences of mean ranks the data show, and so the interval of each evaluator's rank and its tier.

All pairs of evaluators are compared by a sign-change test of the differences of their ranks in each problem (Fisher,
"The Design of Experiments", 1935, section 21), with the step-down procedure of Romano and Wolf (JASA 100, 2005) over
all pairs: the probability of one or more wrong statements about a suite is at most `ALPHA`, whatever the number of
evaluators, and however they depend on each other. A problem is one observation: its seeds and tasks are averaged, and
both their variation and that between problems are in the differences. Sign changes are used rather than a bootstrap
over problems and seeds because they hold their level for any number of problems, as long as the differences of equal
evaluators are symmetric; with the five to twenty problems of a suite, bootstrap intervals are too narrow. The interval
of a rank follows from the pairs as in Mogstad, Romano, Shaikh and Wilhelm (Review of Economic Studies 91, 2024).

With fewer than six problems no sign-change test has a p-value below 5%. Then the seeds of each problem are the
observations, and what is shown holds for these problems, not for others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

ALPHA = 0.05
FEWEST = 6  # observations: with five, the least p-value is 1/16
ALL_SIGNS = 12  # observations up to which all changes of sign are tried
CHANGES = 2000  # random ones, with more observations
MOST_NUMBERS = 40_000_000  # of one comparison; with many evaluators, fewer changes are tried


@dataclass(frozen=True)
class Tiers:
    """What the data say about the ranks of evaluators.

    Parameters
    ----------
    table : pandas.DataFrame
        By evaluator, best first: ``first`` and ``last``, the ends of its rank's interval, and ``tier``. A tier begins
        with the best evaluator that is worse than the first of the tier before.
    separable, neighbours : int
        How many of the pairs of evaluators with neighbouring mean ranks differ, and how many pairs there are.
    observations : {"problems", "seeds"}
        What the statements hold for: problems of this kind, or these problems with other seeds.
    """

    table: pd.DataFrame
    separable: int
    neighbours: int
    observations: str


def tiers(ranks: pd.DataFrame) -> Tiers:
    """Compute the tiers of evaluators.

    Parameters
    ----------
    ranks : pandas.DataFrame
        One row per (problem, seed), with the evaluator's ranks, averaged over tasks, in the columns; NaN where an
        evaluator does not apply. One evaluator alone has no tier.
    """
    if ranks.shape[1] < 2:  # nothing to compare
        return Tiers(pd.DataFrame({"first": [], "last": [], "tier": []}), 0, 0, "problems")
    problem = ranks.index.get_level_values(0)
    by_problem = ranks.groupby(problem).mean()
    means = by_problem.mean().round(9).fillna(np.inf)
    order = [name for _, name in sorted(zip(means, means.index, strict=True))]
    if len(by_problem) >= FEWEST:
        observations, values = "problems", by_problem[order].to_numpy()
    else:
        # A problem has the same weight, whatever the number of its seeds.
        weights = len(ranks) / len(by_problem) / ranks.groupby(problem).transform("size").to_numpy(dtype=float)
        observations, values = "seeds", ranks[order].to_numpy() * weights[:, None]
    better = separated(values)
    count, tier, head, numbers = len(order), 0, 0, list[int]()
    for position in range(count):
        if not position or better[head, position]:
            head, tier = position, tier + 1
        numbers.append(tier)
    table = pd.DataFrame(
        {"first": 1 + better.sum(axis=0), "last": count - better.sum(axis=1), "tier": numbers}, index=order
    )
    return Tiers(table, int(np.diagonal(better, 1).sum()), max(count - 1, 0), observations)


def separated(values: np.ndarray) -> np.ndarray:
    """Tell which evaluators are better than which others.

    Parameters
    ----------
    values : numpy.ndarray of shape (observations, evaluators)
        Lower is better; NaN where an evaluator has none.

    Returns
    -------
    numpy.ndarray of bool, shape (evaluators, evaluators)
        Whether the row's evaluator is better than the column's.

    Notes
    -----
    The statistic of a pair is its mean difference over the root of (its mean square + the median mean square of all
    pairs), neither of which depends on the signs. Without the second term, pairs of evaluators with nearly equal ranks
    would decide how large the largest statistic is by chance (Tusher, Tibshirani and Chu, PNAS 98, 2001).
    """
    better = np.zeros((values.shape[1],) * 2, dtype=bool)
    first, second = np.triu_indices(values.shape[1], 1)
    differences = np.nan_to_num(values[:, first] - values[:, second])  # no difference where one of them is not compared
    squares = (differences**2).mean(axis=0)
    if len(values) < FEWEST or not squares.any():
        return better
    scaled = differences / np.sqrt(squares + np.median(squares[squares > 0])) / len(values)
    statistics = scaled.sum(axis=0)
    for pair in _different(scaled):
        better[(first[pair], second[pair]) if statistics[pair] < 0 else (second[pair], first[pair])] = True
    return better


def _different(scaled: np.ndarray) -> np.ndarray:
    """Return the pairs that differ, by the step-down procedure."""
    signs = _signs(*scaled.shape)
    observed = np.abs(scaled.sum(axis=0))
    left, apart = np.flatnonzero(observed > 0), np.array([], dtype=int)
    while len(left):
        largest = np.concatenate(
            [np.abs(part @ scaled[:, left]).max(axis=1) for part in np.array_split(signs, -(-len(signs) // 64))]
        )
        # Sums of equal numbers in another order differ in their last bits.
        below = np.searchsorted(np.sort(largest), observed[left] * (1 - 1e-9))
        different = 1 - below / len(largest) <= ALPHA
        if not different.any():
            break
        apart, left = np.concatenate([apart, left[different]]), left[~different]
    return apart


def _signs(observations: int, pairs: int) -> np.ndarray:
    """Return changes of sign, the first of which changes nothing. The statistic is the same with all signs turned."""
    count = max(200, min(CHANGES, MOST_NUMBERS // max(pairs, 1)))
    if observations <= ALL_SIGNS and 2 ** (observations - 1) <= 2 * count:
        numbers = np.arange(2 ** (observations - 1))
        return 1.0 - 2.0 * ((numbers[:, None] >> np.arange(observations)) & 1)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(count, observations))
    signs[0] = 1.0
    return signs
