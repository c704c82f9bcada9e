"""The numbers of the leaderboard, from scores: means with intervals, ranks, win rates, normalised scores and costs.

A score that failed or is missing never helps: it is ranked last, loses against every score that is there, and counts as
-1 where scores are normalised.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from leaderboard.suite_scores import COLUMN, COSTS

CONFIDENCE = 0.95
RESAMPLES = 2000


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Summarise the seeds of each evaluator.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.

    Returns
    -------
    pandas.DataFrame
        One row per (problem, task, evaluator): ``mean`` and ``ci`` over the seeds that are ok (see `half_width`),
        ``low`` and ``high`` (see `bootstraps`), ``rank``, ``n_ok``, ``n_failed`` and ``n_missing``, besides ``metric``
        and ``higher_is_better``.

    Notes
    -----
    ``rank`` orders the evaluators of a (problem, task) by the mean of their ranks in its seeds, where what failed or is
    missing is last: 1 is best, and ties share the average of their places. A mean is over the seeds that are ok; by
    that, failing in a bad seed would help.
    """
    statuses = {status: scores["status"] == status for status in ("failed", "missing")}
    told = scores.assign(**statuses, seed_rank=seed_ranks(scores))
    groups = told.groupby([*COLUMN, "evaluator"], sort=False)
    frame = groups.agg(
        metric=("metric", "first"), higher_is_better=("higher_is_better", "first"), mean=("value", "mean"),
        spread=("value", "std"), n_ok=("value", "count"), n_failed=("failed", "sum"), n_missing=("missing", "sum"),
        by_seed=("seed_rank", "mean"),
    ).reset_index()  # fmt: skip
    frame["ci"] = half_width(frame.pop("spread"), frame["n_ok"])
    frame["low"], frame["high"] = bootstraps([group.dropna().to_numpy() for _, group in groups["value"]])
    # Averages of equal ranks can differ in their last bits, and would then not tie.
    order = frame.pop("by_seed").round(9).groupby([frame[name] for name in COLUMN])
    return frame.assign(rank=order.rank(method="average"))


def overall(scores: pd.DataFrame, random: Iterable[str] = ()) -> pd.DataFrame:
    """Rank the evaluators over all problems and tasks, best first.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.
    random : iterable of str
        Evaluators that value at random, the first of which is the zero of normalised scores.

    Returns
    -------
    pandas.DataFrame
        One row per evaluator: ``rank`` (by ``mean_rank``; ties share the first of their places), ``evaluator``,
        ``mean_rank`` with its interval ``low`` and ``high``, ``normalised`` (see `normalise`), and how many of its
        planned scores are ok, failed and missing: ``n_ok``, ``n_failed``, ``n_missing``.

    Notes
    -----
    Evaluators are ranked in every (problem, task) on the scores of each seed, and only then are ranks averaged: ranks
    of averages would let one lucky seed decide. Every (problem, task) counts the same. A (problem, task, seed) counts
    if it is planned for at least half of the evaluators: a rank in a smaller field would not compare. There, what is
    not planned for an evaluator is missing.

    The interval is a 95% percentile bootstrap over problems, and over the seeds of each: it tells how far the mean rank
    moves with other data like these and with other seeds. With few problems and seeds it is too narrow.
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
    """Scores in the columns that at least half of the evaluators share, with what is not planned there as missing.

    Where there is no such column, those that most share.
    """
    place = [*COLUMN, "seed"]
    evaluators = scores["evaluator"].unique()
    field = scores.groupby(place)["evaluator"].transform("nunique")
    shared = scores[field >= min(len(evaluators) / 2, field.max())]
    columns = shared.drop_duplicates(place)[[*place, "higher_is_better"]]
    everybody = columns.merge(pd.DataFrame({"evaluator": evaluators}), how="cross")
    told = shared.drop(columns="higher_is_better")
    whole = everybody.merge(told, on=[*place, "evaluator"], how="left")
    return whole.assign(status=whole["status"].fillna("missing"))


def seed_ranks(scores: pd.DataFrame) -> pd.Series:
    """Ranks within (problem, task, seed): 1 is best; ties, and all without a score, share their average place."""
    places = [scores[name] for name in (*COLUMN, "seed")]
    return (-_upwards(scores)).groupby(places).rank(method="average", na_option="bottom")


def normalise(scores: pd.DataFrame, random: Iterable[str]) -> pd.Series:
    """Put the scores of each (problem, task) on a scale where random values have 0, and the best of each seed 1.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row per (problem, task, seed, evaluator).
    random : iterable of str
        The first that is there is the zero; NaN everywhere if there is none.

    Returns
    -------
    pandas.Series
        Of a score v of a seed, (v - random's) / D, where D is the mean over seeds of how far the best is above random;
        never below -1, which is also what a score that failed or is missing gets. A score in a seed where random has
        none is NaN.
    """
    zero = next(iter(random), None)
    value = _upwards(scores)
    of_seed, of_column = ([scores[name] for name in names] for names in ([*COLUMN, "seed"], COLUMN))
    zeros = value.where(scores["evaluator"] == zero).groupby(of_seed).transform("max")
    above = value - zeros
    best = above.groupby(of_seed).transform("max")
    once = ~scores.duplicated([*COLUMN, "seed"])
    reach = best.where(once).groupby(of_column).transform("mean")
    # Where nobody is above random, what is below counts as -1: the limit of ever smaller reaches.
    scaled = (
        (above / reach.where(reach > 0)).mask((reach == 0) & (above < 0), -1.0).mask((reach == 0) & (above == 0), 0)
    )
    normalised = scaled.fillna(-1.0).clip(lower=-1.0).where(zeros.notna() | value.isna())
    return normalised if zero is not None else normalised * np.nan


def wins(scores: pd.DataFrame) -> pd.DataFrame:
    """How often each evaluator beats each other one.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.

    Returns
    -------
    pandas.DataFrame
        Row against column: the share of (problem, task, seed) that both have in common in which the row's score is
        better; a tie, and a pair of which none has a score, counts half. NaN on the diagonal.
    """
    scores = common(scores)
    table = scores.assign(value=_upwards(scores).fillna(-np.inf)).pivot(
        index=[*COLUMN, "seed"], columns="evaluator", values="value"
    )
    sheet = table.to_numpy()
    share = np.array([((row > sheet.T) + 0.5 * (row == sheet.T)).mean(axis=1) for row in sheet.T])
    np.fill_diagonal(share, np.nan)
    return pd.DataFrame(share, index=table.columns, columns=table.columns)


def cost(cells: pd.DataFrame) -> pd.DataFrame:
    """Average what the valuations took.

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
    """Mean seconds of a valuation over the problems of each evaluator; NaN for one of whose valuations one is not ok.

    A mean over what it managed would make an evaluator cheap that runs out of time.
    """
    groups = cost.groupby("evaluator")
    return groups["seconds"].mean().where(groups["complete"].all())


def half_width(deviation: pd.Series, n: pd.Series) -> pd.Series:
    """Half the widths of 95% Student-t confidence intervals of means.

    Parameters
    ----------
    deviation : pandas.Series
        Sample standard deviations, of numbers assumed independent and about normal; NaN of fewer than two.
    n : pandas.Series
        How many numbers each mean is over.

    Returns
    -------
    pandas.Series
        ``t(0.975, n - 1) * deviation / sqrt(n)``; NaN if n < 2.
    """
    return stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(n - 1, 1)) * deviation / np.sqrt(np.maximum(n, 1))


def bootstrap(values: Iterable[float]) -> tuple[float, float]:
    """95% percentile bootstrap interval of a mean; see `bootstraps`."""
    low, high = bootstraps([np.asarray(list(values), dtype=float)], 9999)
    return float(low[0]), float(high[0])


def bootstraps(samples: list[np.ndarray], resamples: int = RESAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile bootstrap intervals of the means of many samples.

    Parameters
    ----------
    samples : list of numpy.ndarray
        One number a seed. Of few seeds the interval is too narrow: of three, the widest it can be is from the lowest to
        the highest.
    resamples : int

    Returns
    -------
    low, high : numpy.ndarray of shape (len(samples),)
        The same for the same values; NaN of a sample of fewer than two.
    """
    ends = np.full((2, len(samples)), np.nan)
    sizes = np.array([len(sample) for sample in samples])
    for size in np.unique(sizes[sizes > 1]):
        places = np.flatnonzero(sizes == size)
        for part in np.array_split(places, -(-len(places) // 1000)):
            drawn = stats.bootstrap(
                (np.array([samples[place] for place in part]),), np.mean, axis=-1, n_resamples=resamples,
                confidence_level=CONFIDENCE, method="percentile", rng=0,
            ).confidence_interval  # fmt: skip
            ends[:, part] = drawn.low, drawn.high
    return ends[0], ends[1]


def _rank_intervals(ranked: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Percentile bootstrap of mean ranks over problems, and over the seeds of each."""
    rng = np.random.default_rng(0)
    table = ranked.pivot(index=[*COLUMN, "seed"], columns="evaluator", values="seed_rank")
    problem, task, seed = (table.index.get_level_values(name) for name in (*COLUMN, "seed"))
    problems, ranks = problem.unique(), table.to_numpy()
    # How often each problem is drawn in each resample, and within it each of its seeds.
    drawn = rng.multinomial(len(problems), np.full(len(problems), 1 / len(problems)), size=RESAMPLES)
    total, columns, units = np.zeros((RESAMPLES, ranks.shape[1])), np.zeros(RESAMPLES), 0
    for count, name in zip(drawn.T, problems, strict=True):
        here = problem == name
        seeds = seed[here].unique()
        units += len(seeds)
        weights = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=RESAMPLES)
        for column in task[here].unique():
            rows = here & (task == column)
            drew = weights[:, seeds.get_indexer(seed[rows])]
            times = drew.sum(axis=1)
            use = count * (times > 0)
            total += use[:, None] * (drew @ ranks[rows]) / np.maximum(times, 1)[:, None]
            columns += use
    ends = np.full((2, ranks.shape[1]), np.nan)
    if units > 1:
        means = total[columns > 0] / columns[columns > 0][:, None]
        ends = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return pd.Series(ends[0], table.columns), pd.Series(ends[1], table.columns)


def _upwards(scores: pd.DataFrame) -> pd.Series:
    """Scores of which a higher one is the better."""
    return scores["value"].where(scores["higher_is_better"].astype(bool), -scores["value"])


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries by column name; several times as fast as pandas is on columns of text."""
    columns = [frame[name].to_numpy(dtype=object).tolist() for name in frame]
    return [dict(zip(map(str, frame), row, strict=True)) for row in zip(*columns, strict=True)]
