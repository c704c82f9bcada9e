"""How much better evaluators are than random values, in the unit of the scores, and who is on the Pareto front.

Intervals are bootstraps over problems and over the seeds of each problem drawn. A percentile bootstrap of few is too
narrow, so the ends are moved away from the mean by the factor that a mean of as many normal numbers needs (Hesterberg,
"What teachers should know about the bootstrap", The American Statistician 69, 2015, section 4.3). With fewer than
`FEWEST` problems only seeds are drawn, and what is shown holds for these problems, not for others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from leaderboard.intervals import CONFIDENCE, EQUAL
from leaderboard.statistics import common, random_row, upwards
from leaderboard.suite_scores import COLUMN
from leaderboard.tiers import FEWEST

DRAWS = 2000
MOST_NUMBERS = 20_000_000  # of all draws; with many evaluators there are fewer draws


@dataclass(frozen=True)
class Gains:
    """What evaluators gain over random values.

    Parameters
    ----------
    table : pandas.DataFrame
        By evaluator: ``gain``, its interval ``gain_low`` and ``gain_high``, and ``front``: the probability of being on
        the Pareto front of seconds and gain. NaN where it is not known.
    columns : int
        How many (problem, task) it is the mean of.
    left_out : int
        How many (problem, task) have a metric without bounds, which cannot be averaged with others.
    observations : {"problems", "seeds"}
        What the intervals hold for.
    """

    table: pd.DataFrame
    columns: int
    left_out: int
    observations: str


def gains(scores: pd.DataFrame, cost: pd.DataFrame, roles: Mapping[str, str]) -> Gains:
    """Compare evaluators with random values.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.
    cost : pandas.DataFrame
        As `leaderboard.statistics.cost` returns it.
    roles : mapping of str to str
        Reference rows. The first with the role ``"random"`` has a gain of 0; without one, all gains are NaN.

    Notes
    -----
    The gain is the score minus that of random values in the same problem, task and seed, with the sign that makes more
    better: its mean over tasks and seeds, then over problems. A failed or missing score counts as the worst of its
    problem, task and seed, and at most as random; declined ones count nowhere.
    """
    scores = common(scores).assign(gain=lambda frame: _differences(frame, roles))
    limits = scores.groupby(COLUMN)[["lowest", "highest"]].transform("first")
    bounded = np.isfinite(limits.to_numpy(dtype=float)).all(axis=1)
    known = scores.loc[bounded & scores["gain"].notna().to_numpy()]
    by_seed = known.groupby(["problem", "seed", "evaluator"])["gain"].mean().unstack()
    by_seed = by_seed.reindex(columns=scores["evaluator"].unique())
    by_problem = by_seed.groupby(level=0).mean()
    observations = "problems" if len(by_problem) >= FEWEST else "seeds"
    table = pd.DataFrame({"gain": by_problem.mean()}).assign(gain_low=np.nan, gain_high=np.nan, front=np.nan)
    drawn, seconds = _draws(by_seed, _seconds(cost, by_problem), observations)
    others = (table.index != random_row(roles)) & np.isfinite(drawn).any(axis=0)
    if others.any():
        means, sizes = table["gain"].to_numpy(), by_seed.groupby(level=0).size()
        ends = np.nanquantile(drawn[:, others], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
        ends = means[others] + spreading(sizes, observations) * (ends - means[others])
        table.loc[others, ["gain_low", "gain_high"]] = ends.T
        ranked = others & ~table.index.isin(list(roles)) & np.isfinite(seconds).any(axis=0)
        table.loc[ranked, "front"] = on_front(drawn[:, ranked], seconds[:, ranked]).mean(axis=0)
    columns = len(known.drop_duplicates(COLUMN))
    return Gains(table, columns, len(scores.loc[~bounded].drop_duplicates(COLUMN)), observations)


def against_random(row: Mapping[str, float]) -> str:
    """Say where an evaluator is worse than random values, or not shown to be better; empty if it is better."""
    if not row["gain_low"] <= 0:
        return ""
    return "worse than random" if row["gain_high"] < 0 else "not shown to be better than random"


def on_front(gain: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Tell who is on the Pareto front: better than random, and nobody who takes no longer gains more.

    Parameters
    ----------
    gain, seconds : numpy.ndarray of shape (draws, evaluators)
        An evaluator without a gain or without seconds is not on the front.

    Returns
    -------
    numpy.ndarray of bool, shape (draws, evaluators)
    """
    known = np.isfinite(gain) & np.isfinite(seconds)
    gained, taken = np.where(known, gain, -np.inf), np.where(known, seconds, np.inf)
    order = np.lexsort((-gained, taken), axis=1)
    in_order = np.take_along_axis(gained, order, axis=1)
    start = np.zeros((len(gained), 1))
    before = np.maximum.accumulate(np.concatenate([start, in_order[:, :-1]], axis=1), axis=1)
    front = np.empty(known.shape, dtype=bool)
    np.put_along_axis(front, order, in_order > before + EQUAL, axis=1)
    return front


def spreading(sizes: pd.Series, observations: str) -> float:
    """Return the factor by which the ends of an interval are moved away from the mean.

    Parameters
    ----------
    sizes : pandas.Series
        Number of seeds of each problem.
    observations : {"problems", "seeds"}
        What is drawn.
    """
    n, freedom = (len(sizes), len(sizes) - 1) if observations == "problems" else (sizes.min(), (sizes - 1).sum())
    tail = (1 - CONFIDENCE) / 2
    return float(math.sqrt(n / (n - 1)) * stats.t.ppf(tail, freedom) / stats.norm.ppf(tail))


def _differences(scores: pd.DataFrame, roles: Mapping[str, str]) -> pd.Series:
    """Score minus that of random values; lacking scores count as the worst, declined ones are NaN."""
    value = upwards(scores)
    keys = [scores[name] for name in (*COLUMN, "seed")]
    above = value - value.where(scores["evaluator"] == random_row(roles)).groupby(keys).transform("max")
    worst = above.groupby(keys).transform("min").clip(upper=0.0)  # at most random's own 0; NaN without random
    return above.fillna(worst).where(scores["status"] != "declined")


def _seconds(cost: pd.DataFrame, by_problem: pd.DataFrame) -> np.ndarray:
    """Seconds by problem and evaluator; NaN for all problems of an evaluator with a valuation that is not ok."""
    of_problems = cost[cost["problem"].isin(by_problem.index)]
    whole = of_problems.groupby("evaluator")["complete"].transform("all")
    of_problems = of_problems.assign(seconds=of_problems["seconds"].where(whole))
    table = of_problems.pivot(index="problem", columns="evaluator", values="seconds")
    return table.reindex_like(by_problem).to_numpy(dtype=float)


def _draws(by_seed: pd.DataFrame, seconds: np.ndarray, observations: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw problems and their seeds; return gains and seconds of all draws, (draws, evaluators).

    There are no draws if a mean cannot vary, because few problems have one seed.
    """
    parts = [part.to_numpy() for _, part in by_seed.groupby(level=0)]
    if not parts or (observations == "seeds" and any(len(part) < 2 for part in parts)):
        return np.empty((0, by_seed.shape[1])), np.empty((0, by_seed.shape[1]))
    rng, draws = np.random.default_rng(0), max(200, min(DRAWS, MOST_NUMBERS // by_seed.shape[1]))
    totals = np.zeros((2, draws, by_seed.shape[1]))
    counts = np.zeros_like(totals)
    for slot in range(len(parts)):
        picked = rng.integers(len(parts), size=draws) if observations == "problems" else np.full(draws, slot)
        for number, part in enumerate(parts):
            rows = np.flatnonzero(picked == number)
            weights = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), size=len(rows)) / len(part)
            for total, count, drawn in zip(totals, counts, (weights @ part, seconds[number]), strict=True):
                total[rows] += np.nan_to_num(drawn)
                count[rows] += np.isfinite(drawn)
    means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
    return means[0], means[1]
