"""The numbers of the leaderboard, from scores: means with intervals, ranks, win rates, normalised scores and costs.

A failed or missing score never improves a number: it is ranked last, loses against every existing score, and counts as
-1 among normalised scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.intervals import CONFIDENCE, intervals
from leaderboard.suite_scores import COLUMN, COSTS, SuiteScores

RESAMPLES = 2000
LEAST_CEILING = 0.1  # of which a score is given as a share


@dataclass(frozen=True)
class SuiteStatistics:
    """The computed numbers of a suite.

    Parameters
    ----------
    summary : pandas.DataFrame
        Means of each evaluator on each problem and task: see `summary`.
    ranking : pandas.DataFrame
        The overall ranking: see `overall`.
    cost : pandas.DataFrame
        Costs of each evaluator on each problem: see `cost`.
    """

    summary: pd.DataFrame
    ranking: pd.DataFrame
    cost: pd.DataFrame


def suite_statistics(suite: SuiteScores) -> SuiteStatistics:
    """Compute the numbers that the leaderboard shows of a suite."""
    return SuiteStatistics(summary(suite.scores), overall(suite.scores, suite.random), cost(suite.cells))


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Summarise the seeds of each evaluator.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.

    Returns
    -------
    pandas.DataFrame
        One row per (problem, task, evaluator): ``mean`` over the seeds that are ok with its interval, ``low`` and
        ``high`` (see `intervals`), ``rank``, ``n_ok``, ``n_failed`` and ``n_missing``, ``ceiling`` and ``share`` (see
        `ceilings`), besides ``metric`` and ``higher_is_better``.

    Notes
    -----
    ``rank`` orders the evaluators of a (problem, task) by the mean of their ranks in its seeds, where failed and
    missing scores are last: 1 is best, and tied evaluators get the average of their ranks. The rank is not taken from
    the mean, which is over the seeds that are ok: an evaluator that fails in a bad seed would gain from that.
    """
    statuses = {status: scores["status"] == status for status in ("failed", "missing")}
    ranked = scores.assign(**statuses, seed_rank=seed_ranks(scores))
    groups = ranked.groupby([*COLUMN, "evaluator"], sort=False)
    frame = groups.agg(
        metric=("metric", "first"), higher_is_better=("higher_is_better", "first"), mean=("value", "mean"),
        spread=("value", "std"), n_ok=("value", "count"), n_failed=("failed", "sum"), n_missing=("missing", "sum"),
        by_seed=("seed_rank", "mean"), lowest=("lowest", "min"), highest=("highest", "max"),
    ).reset_index()  # fmt: skip
    limits = list(zip(frame.pop("lowest"), frame.pop("highest"), strict=True))
    frame[["low", "high"]] = intervals(frame["mean"], frame.pop("spread"), frame["n_ok"], limits)
    # Averages of equal ranks can differ in their last bits, and would then not tie.
    order = frame.pop("by_seed").round(9).groupby([frame[name] for name in COLUMN])
    ranks = order.rank(method="average")
    return frame.assign(rank=ranks).merge(ceilings(scores), on=[*COLUMN, "evaluator"], how="left")


def ceilings(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare scores with what exact values reach, over the seeds that have a ceiling.

    Returns
    -------
    pandas.DataFrame
        One row per (problem, task, evaluator) with a ceiling: its mean over seeds, and ``share``, the mean score
        divided by it; NaN if the ceiling is below `LEAST_CEILING`, because references that hardly repeat themselves are
        noise. The quotient is that of means: a quotient of one seed could have any size.
    """
    keys = [*COLUMN, "evaluator"]
    if "ceiling" not in scores:
        return scores.iloc[:0][keys].assign(ceiling=np.nan, share=np.nan)
    means = scores[scores["ceiling"].notna()].groupby(keys, sort=False)[["value", "ceiling"]].mean().reset_index()
    share = (means.pop("value") / means["ceiling"]).where(means["ceiling"] >= LEAST_CEILING)
    return means.assign(share=share)


def overall(scores: pd.DataFrame, random: Iterable[str] = ()) -> pd.DataFrame:
    """Rank the evaluators over all problems and tasks, best first.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.
    random : iterable of str
        Evaluators that return random values; the first one is the zero of normalised scores.

    Returns
    -------
    pandas.DataFrame
        One row per evaluator: ``rank`` (by ``mean_rank``; tied evaluators get the lowest of their ranks),
        ``evaluator``, ``mean_rank`` with its interval ``low`` and ``high``, ``normalised`` (see `normalise`), and the
        numbers of its planned scores that are ok, failed and missing: ``n_ok``, ``n_failed``, ``n_missing``.

    Notes
    -----
    Evaluators are ranked in every (problem, task) on the scores of each seed, and then the ranks are averaged: with
    ranks of averages, one lucky seed could decide. Every (problem, task) has the same weight. A (problem, task, seed)
    counts if it is planned for at least half of the evaluators, because a rank among fewer would not be comparable.
    An evaluator for which it is not planned counts as missing there.

    The interval is a 95% percentile bootstrap over problems, and over the seeds of each: it shows how much the mean
    rank varies with other data of this kind and with other seeds. With few problems and seeds it is too narrow.
    """
    scores = common(scores)
    ranked = scores.assign(seed_rank=seed_ranks(scores), x=normalise(scores, random))
    low, high = _rank_intervals(ranked)
    columns = ranked.groupby([*COLUMN, "evaluator"])[["seed_rank", "x"]].mean().groupby("evaluator").mean()
    frame = columns.rename(columns={"seed_rank": "mean_rank", "x": "normalised"}).assign(low=low, high=high)
    for status in ("ok", "failed", "missing"):
        frame[f"n_{status}"] = (ranked["status"] == status).groupby(ranked["evaluator"]).sum()
    frame = frame.reset_index()
    # Averages of equal ranks can differ in their last bits, and would then not tie.
    frame.insert(0, "rank", frame["mean_rank"].round(9).rank(method="min").astype(int))
    return frame.sort_values(["rank", "evaluator"], ignore_index=True)


def common(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each (problem, task, seed) that is planned for at least half of the evaluators.

    If there is none, those planned for the most evaluators. A row is added as missing for each evaluator for which the
    (problem, task, seed) is not planned.
    """
    keys = [*COLUMN, "seed"]
    evaluators = scores["evaluator"].unique()
    planned = scores.groupby(keys)["evaluator"].transform("nunique")
    kept = scores[planned >= min(len(evaluators) / 2, planned.max())]
    columns = kept.drop_duplicates(keys)[[*keys, "higher_is_better"]]
    all_rows = columns.merge(pd.DataFrame({"evaluator": evaluators}), how="cross")
    filled = all_rows.merge(kept.drop(columns="higher_is_better"), on=[*keys, "evaluator"], how="left")
    completed: pd.DataFrame = filled.assign(status=filled["status"].fillna("missing"))
    return completed


def seed_ranks(scores: pd.DataFrame) -> pd.Series:
    """Rank within (problem, task, seed): 1 is best; ties, and all without a score, get the average of their ranks."""
    keys = [scores[name] for name in (*COLUMN, "seed")]
    return (-_upwards(scores)).groupby(keys).rank(method="average", na_option="bottom")


def normalise(scores: pd.DataFrame, random: Iterable[str]) -> pd.Series:
    """Scale the scores of each (problem, task) so that random values have 0, and the best of each seed 1 on average.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row per (problem, task, seed, evaluator).
    random : iterable of str
        The first one is the zero; without any, the result is NaN everywhere.

    Returns
    -------
    pandas.Series
        For a score v and the score r of random values in the same seed, (v - r) / D, where D is the mean over seeds of
        (best score - r); at least -1, which failed and missing scores get too. NaN in a seed without r.
    """
    zero = next(iter(random), None)
    value = _upwards(scores)
    of_seed, of_column = ([scores[name] for name in names] for names in ([*COLUMN, "seed"], COLUMN))
    zeros = value.where(scores["evaluator"] == zero).groupby(of_seed).transform("max")
    above = value - zeros
    best = above.groupby(of_seed).transform("max")
    once = ~scores.duplicated([*COLUMN, "seed"])
    reach = best.where(once).groupby(of_column).transform("mean")
    # If no evaluator is above random, those below get -1: the limit as D goes to 0.
    scaled = (
        (above / reach.where(reach > 0)).mask((reach == 0) & (above < 0), -1.0).mask((reach == 0) & (above == 0), 0)
    )
    normalised = scaled.fillna(-1.0).clip(lower=-1.0).where(zeros.notna() | value.isna())
    return normalised if zero is not None else normalised * np.nan


def wins(scores: pd.DataFrame) -> pd.DataFrame:
    """Compute how often each evaluator beats each other one.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.

    Returns
    -------
    pandas.DataFrame
        The fraction of the (problem, task, seed) of both evaluators in which the score of the row's evaluator is better
        than that of the column's; a tie, and a pair without any score, counts half. NaN on the diagonal.
    """
    scores = common(scores)
    table = scores.assign(value=_upwards(scores).fillna(-np.inf)).pivot(
        index=[*COLUMN, "seed"], columns="evaluator", values="value"
    )
    values = table.to_numpy().T
    rates = np.array([((row > values) + 0.5 * (row == values)).mean(axis=1) for row in values])
    np.fill_diagonal(rates, np.nan)
    return pd.DataFrame(rates, index=table.columns, columns=table.columns)


def cost(cells: pd.DataFrame) -> pd.DataFrame:
    """Average the costs of the valuations.

    Returns
    -------
    pandas.DataFrame
        One row per planned (problem, evaluator): ``seconds``, ``fits``, ``unlearned``, ``peak_memory`` and
        ``peak_cuda_memory`` (bytes), means over the seeds whose valuation is ok; NaN if there is none. ``complete``
        says whether all are ok.
    """
    groups = cells.assign(complete=cells["status"] == "ok").groupby(["problem", "evaluator"], sort=False)
    return groups.agg({**dict.fromkeys(COSTS, "mean"), "complete": "all"}).reset_index()


def seconds(cost: pd.DataFrame) -> pd.Series:
    """Average the seconds of a valuation over the problems of each evaluator; NaN if one of its valuations is not ok.

    A mean over the valuations that are ok would make an evaluator seem cheap that runs out of time on large problems.
    """
    groups = cost.groupby("evaluator")
    return groups["seconds"].mean().where(groups["complete"].all())


def _rank_intervals(ranked: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Compute percentile bootstrap intervals of mean ranks, over problems and over the seeds of each."""
    rng = np.random.default_rng(0)
    table = ranked.pivot(index=[*COLUMN, "seed"], columns="evaluator", values="seed_rank")
    problem, task, seed = (table.index.get_level_values(name) for name in (*COLUMN, "seed"))
    problems, ranks = problem.unique(), table.to_numpy()
    # How often each problem is drawn in each resample, and within it each of its seeds.
    problem_counts = rng.multinomial(len(problems), np.full(len(problems), 1 / len(problems)), size=RESAMPLES)
    total, columns, seeds_in_all = np.zeros((RESAMPLES, ranks.shape[1])), np.zeros(RESAMPLES), 0
    for problem_count, name in zip(problem_counts.T, problems, strict=True):
        of_problem = problem == name
        seeds = seed[of_problem].unique()
        seeds_in_all += len(seeds)
        seed_counts = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=RESAMPLES)
        for column in task[of_problem].unique():
            rows = of_problem & (task == column)
            counts = seed_counts[:, seeds.get_indexer(seed[rows])]
            times = counts.sum(axis=1)
            weights = problem_count * (times > 0)
            total += weights[:, None] * (counts @ ranks[rows]) / np.maximum(times, 1)[:, None]
            columns += weights
    ends = np.full((2, ranks.shape[1]), np.nan)
    if seeds_in_all > 1:
        means = total[columns > 0] / columns[columns > 0][:, None]
        ends = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return pd.Series(ends[0], table.columns), pd.Series(ends[1], table.columns)


def _upwards(scores: pd.DataFrame) -> pd.Series:
    """Return the scores with the sign that makes higher ones better, in nine digits: the pages rank by as many."""
    values = scores["value"].map(lambda value: float(f"{value:.9g}"))
    return values.where(scores["higher_is_better"].astype(bool), -values)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries by column name; several times faster than pandas for columns of text."""
    columns = [frame[name].to_numpy(dtype=object).tolist() for name in frame]
    return [dict(zip(map(str, frame), row, strict=True)) for row in zip(*columns, strict=True)]
