"""The numbers of the leaderboard, from scores: means with intervals, ranks, win rates, normalised scores and costs.

A failed or missing score never improves a number: it is ranked last, loses against every existing score, and counts as
-1 among normalised scores. Declined scores, of problems that an evaluator does not apply to, count nowhere. Reference
rows have scores, and no ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.intervals import intervals
from leaderboard.suite_scores import COLUMN, COSTS, SuiteScores
from leaderboard.tiers import Tiers, tiers

STATUSES = ("ok", "failed", "missing", "declined")
NARROW = "declines most"  # role of an evaluator that applies to less than half of a suite
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
    tiers : Tiers
        What the data say about the overall ranks.
    """

    summary: pd.DataFrame
    ranking: pd.DataFrame
    cost: pd.DataFrame
    tiers: Tiers


def suite_statistics(suite: SuiteScores) -> SuiteStatistics:
    """Compute the numbers that the leaderboard shows of a suite."""
    ranking, separation = ranked(suite.scores, suite.roles)
    return SuiteStatistics(summary(suite.scores, suite.roles), ranking, cost(suite.cells), separation)


def summary(scores: pd.DataFrame, roles: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """Summarise the seeds of each evaluator.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.
    roles : mapping of str to str
        Reference rows, which have no rank.

    Returns
    -------
    pandas.DataFrame
        One row per (problem, task, evaluator): ``mean`` over the seeds that are ok with its interval, ``low`` and
        ``high`` (see `intervals`), ``rank``, ``n_ok``, ``n_failed``, ``n_missing`` and ``n_declined``, ``ceiling`` and
        ``share`` (see `ceilings`), besides ``metric`` and ``higher_is_better``.

    Notes
    -----
    ``rank`` orders the evaluators of a (problem, task) by the mean of their ranks in its seeds, where failed and
    missing scores are last: 1 is best, and tied evaluators get the average of their ranks. The rank is not taken from
    the mean, which is over the seeds that are ok: an evaluator that fails in a bad seed would gain from that.
    """
    statuses = {status: scores["status"] == status for status in ("failed", "missing", "declined")}
    with_ranks = scores.assign(**statuses, seed_rank=seed_ranks(scores, roles))
    groups = with_ranks.groupby([*COLUMN, "evaluator"], sort=False)
    frame = groups.agg(
        metric=("metric", "first"), higher_is_better=("higher_is_better", "first"), mean=("value", "mean"),
        spread=("value", "std"), n_ok=("value", "count"), n_failed=("failed", "sum"), n_missing=("missing", "sum"),
        n_declined=("declined", "sum"),
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


def overall(scores: pd.DataFrame, roles: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """Return the first part of what `ranked` returns."""
    return ranked(scores, roles)[0]


def ranked(scores: pd.DataFrame, roles: Mapping[str, str] = MappingProxyType({})) -> tuple[pd.DataFrame, Tiers]:
    """Rank the evaluators over all problems and tasks, best first.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.
    roles : mapping of str to str
        The role of each reference row. The first with the role ``"random"`` is the zero of normalised scores.

    Returns
    -------
    ranking : pandas.DataFrame
        One row per evaluator: ``rank`` (by ``mean_rank``; tied evaluators get the lowest of their ranks), its interval
        ``first`` to ``last`` and ``tier`` (see `leaderboard.tiers`), ``evaluator``, ``role`` (empty for what is
        ranked), ``mean_rank``, ``normalised`` (see `normalise`), and the numbers of its planned scores that are ok,
        failed, missing and declined: ``n_ok``, ``n_failed``, ``n_missing``, ``n_declined``. Rows with a role follow,
        without ranks; one is `NARROW`, of evaluators that decline more than half of the scores. One evaluator alone has
        neither rank nor tier.
    tiers : Tiers

    Notes
    -----
    Evaluators are ranked in every (problem, task) on the scores of each seed, and then the ranks are averaged: with
    ranks of averages, one lucky seed could decide. Every problem has the same weight, and within it every task, and
    within that every seed. A (problem, task, seed) counts if it is planned for at least half of the evaluators, because
    a rank among fewer would not be comparable. An evaluator for which it is not planned counts as missing there.
    """
    scores = common(scores)
    declined = scores.assign(declined=scores["status"] == "declined").groupby("evaluator")["declined"].mean()
    roles = {**{str(name): NARROW for name, share in declined.items() if share > 1 / 2}, **roles}
    by_seed = scores.assign(seed_rank=seed_ranks(scores, roles), x=normalise(scores, roles))
    frame = equally_weighted(by_seed, ["seed_rank", "x"])
    frame = frame.rename(columns={"seed_rank": "mean_rank", "x": "normalised"})
    for status in STATUSES:
        frame[f"n_{status}"] = (by_seed["status"] == status).groupby(by_seed["evaluator"]).sum()
    compared = by_seed[~by_seed["evaluator"].isin(roles)]
    separation = tiers(compared.groupby(["problem", "seed", "evaluator"])["seed_rank"].mean().unstack())
    frame = frame.join(separation.table).reset_index()
    # Averages of equal ranks can differ in their last bits, and would then not tie.
    frame.insert(0, "rank", frame["mean_rank"].round(9).rank(method="min"))
    frame.insert(2, "role", [roles.get(name, "") for name in frame["evaluator"]])
    # One evaluator alone has no rank, and stands above the reference rows too.
    frame = frame.sort_values(
        ["role", "rank", "evaluator"], key=lambda each: each != "" if each.name == "role" else each
    )
    return frame.reset_index(drop=True), separation


def equally_weighted(scores: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Average columns by evaluator: over the seeds of each task, then its tasks of each problem, then its problems."""
    means = scores.groupby([*COLUMN, "evaluator"])[columns].mean()
    for level in ("problem", None):
        means = means.groupby([name for name in (level, "evaluator") if name]).mean()
    return means


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


def seed_ranks(scores: pd.DataFrame, roles: Mapping[str, str] = MappingProxyType({})) -> pd.Series:
    """Rank within (problem, task, seed): 1 is best; ties, and all without a score, get the average of their ranks.

    Reference rows and declined scores have no rank. Ranks among fewer evaluators are stretched, so that the last is the
    last of all in every (problem, task, seed); a rank of one alone says nothing, and is NaN.
    """
    counted = ~scores["evaluator"].isin(roles)
    field = scores.loc[counted, "evaluator"].nunique()
    if "status" in scores:
        counted &= scores["status"] != "declined"
    keys = [scores.loc[counted, name] for name in (*COLUMN, "seed")]
    groups = (-upwards(scores))[counted].groupby(keys)
    ranks, size = groups.rank(method="average", na_option="bottom"), groups.transform("size")
    stretched = 1 + (ranks - 1) * (field - 1) / (size - 1).where(size > 1)
    return ranks.where((size == field) & (field > 1), stretched).reindex(scores.index)


def normalise(scores: pd.DataFrame, roles: Mapping[str, str]) -> pd.Series:
    """Scale the scores of each (problem, task) so that random values have 0, and the best of each seed 1 on average.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row per (problem, task, seed, evaluator).
    roles : mapping of str to str
        The first evaluator with the role ``"random"`` is the zero; without any, the result is NaN everywhere. The best
        is one without a role.

    Returns
    -------
    pandas.Series
        For a score v and the score r of random values in the same seed, (v - r) / D, where D is the mean over seeds of
        (best score - r); at least -1, which failed and missing scores get too. NaN for declined scores, and in a seed
        without r.
    """
    zero = random_row(roles)
    value = upwards(scores)
    of_seed, of_column = ([scores[name] for name in names] for names in ([*COLUMN, "seed"], COLUMN))
    zeros = value.where(scores["evaluator"] == zero).groupby(of_seed).transform("max")
    above = value - zeros
    best = (
        above.where(~scores["evaluator"].isin(roles) | (scores["evaluator"] == zero)).groupby(of_seed).transform("max")
    )
    once = ~scores.duplicated([*COLUMN, "seed"])
    reach = best.where(once).groupby(of_column).transform("mean")
    # If no evaluator is above random, those below get -1: the limit as D goes to 0.
    scaled = (
        (above / reach.where(reach > 0)).mask((reach == 0) & (above < 0), -1.0).mask((reach == 0) & (above == 0), 0)
    )
    normalised = scaled.fillna(-1.0).clip(lower=-1.0).where(zeros.notna() | value.isna())
    normalised = normalised.where(scores["status"] != "declined")
    return normalised if zero is not None else normalised * np.nan


def random_row(roles: Mapping[str, str]) -> str | None:
    """Return the evaluator that others are compared with: the first whose role is random."""
    return next((name for name, role in roles.items() if role == "random"), None)


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
        than that of the column's; a tie, and a pair without any score, counts half. Where one declines, none is
        counted. NaN on the diagonal, and for pairs that are nowhere compared.
    """
    scores = common(scores)
    value = upwards(scores).fillna(-np.inf).where(scores["status"] != "declined")
    table = scores.assign(value=value).pivot(index=[*COLUMN, "seed"], columns="evaluator", values="value")
    values = table.to_numpy().T
    known = ~np.isnan(values)
    pairs = zip(values, known, strict=True)
    won = np.array([(((row > values) + 0.5 * (row == values)) * (has & known)).sum(axis=1) for row, has in pairs])
    both = known.astype(float) @ known.T
    rates = np.divide(won, both, out=np.full(both.shape, np.nan), where=both > 0)
    np.fill_diagonal(rates, np.nan)
    return pd.DataFrame(rates, index=table.columns, columns=table.columns)


def cost(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the usual costs of the valuations: medians over seeds, because a busy machine lengthens some of them.

    Returns
    -------
    pandas.DataFrame
        One row per planned (problem, evaluator): ``seconds``, ``fits``, ``unlearned``, ``peak_memory`` and
        ``peak_cuda_memory`` (bytes), medians over the seeds whose valuation is ok; NaN if there is none. ``complete``
        says whether all are ok that the evaluator does not decline.
    """
    groups = cells.assign(complete=cells["status"].isin(["ok", "declined"])).groupby(
        ["problem", "evaluator"], sort=False
    )
    return groups.agg({**dict.fromkeys(COSTS, "median"), "complete": "all"}).reset_index()


def seconds(cost: pd.DataFrame) -> pd.Series:
    """Average the seconds of a valuation over the problems of each evaluator; NaN if one of its valuations is not ok.

    A mean over the valuations that are ok would make an evaluator seem cheap that runs out of time on large problems.
    """
    groups = cost.groupby("evaluator")
    return groups["seconds"].mean().where(groups["complete"].all())


def upwards(scores: pd.DataFrame) -> pd.Series:
    """Return the scores with the sign that makes higher ones better, in nine digits: the pages rank by as many."""
    values = scores["value"].map(lambda value: float(f"{value:.9g}"))
    return values.where(scores["higher_is_better"].astype(bool), -values)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries by column name; several times faster than pandas for columns of text."""
    columns = {str(name): frame[name].to_numpy(dtype=object).tolist() for name in frame}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
