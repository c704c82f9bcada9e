"""The numbers of the leaderboard: scores, means with intervals, ranks and costs, as tidy tables.

The plan of a suite decides what counts. A planned score that is not there is a row with status ``"missing"``, a failure
one with status ``"failed"``. Neither is left out, so an evaluator cannot climb by failing where it is weak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from dvbench.errors import UserError
from dvbench.results import Cell, Plan, Result, Store
from dvbench.results.store import RESULT

CONFIDENCE = 0.95
COLUMN = ["problem", "task"]
COSTS = ["seconds", "fits", "unlearned", "peak_memory", "peak_cuda_memory"]


def plan(store: Store, suite: str) -> Plan:
    """Read the plan of a suite.

    Raises
    ------
    UserError
        If the suite is not there, or its plan belongs to another suite or plans no score.
    """
    found = store.plan(suite)
    if found is None:
        raise UserError(f"{store.root / suite} has no plan.json: run the suite '{suite}' first")
    if {found.suite, *(cell.key.suite for cell in found.cells)} != {suite}:
        raise UserError(f"{store.root / suite} holds the plan of another suite, or an empty one: move it away")
    if not any(cell.tasks for cell in found.cells):
        raise UserError(f"the plan of suite '{suite}' has no task to score: run the suite again with tasks")
    return found


def scores(store: Store, suite: str) -> pd.DataFrame:
    """List every planned score of a suite, whether it is there or not.

    Parameters
    ----------
    store : Store
    suite : str

    Returns
    -------
    pandas.DataFrame
        One row per (problem, task, evaluator, seed), in the order of the plan, with ``value`` (the headline metric, or
        NaN), ``metric`` (its name), ``higher_is_better``, ``status`` (``"ok"``, ``"failed"`` or ``"missing"``) and
        ``error`` (the reason, or empty). A failed valuation fails all tasks of its cell. ``metric`` is empty, and
        ``higher_is_better`` True, where nobody has a score.

    Raises
    ------
    UserError
        If the suite is not there or a file of it cannot be read.

    Notes
    -----
    Only like is compared with like. A result computed with other settings than those planned (an older version of the
    suite, for instance) is missing, and so is a score whose version, metric or direction differs from that of most
    others in its column; ``error`` says so.
    """
    rows = [
        _score(cell, task, result, stale)
        for cell, result, stale in _planned(store, suite)
        for task in dict.fromkeys(cell.tasks)
    ]
    columns: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        columns.setdefault((row["problem"], row["task"]), []).append(row)
    for column in columns.values():
        _agree(column)
    return pd.DataFrame(rows).drop(columns="version").astype({"value": float})


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Summarise the seeds of each evaluator.

    Parameters
    ----------
    scores : pandas.DataFrame
        What `scores` returns.

    Returns
    -------
    pandas.DataFrame
        One row per (problem, task, evaluator): ``mean`` and ``ci`` over the seeds that are ok (see `half_width`),
        ``rank``, ``n_ok``, ``n_failed`` and ``n_missing``, besides ``metric`` and ``higher_is_better``.

    Notes
    -----
    ``rank`` orders the means within (problem, task): 1 is best, and ties share the average of their places. Evaluators
    without a seed that is ok share the average of the last places. A mean over some of the seeds is ranked by that
    mean; `overall` ranks the failed seeds themselves last.
    """
    rows = []
    for (problem, task, evaluator), group in scores.groupby([*COLUMN, "evaluator"], sort=False):
        values = group["value"].dropna()
        first = {"problem": problem, "task": task, "evaluator": evaluator, "metric": group["metric"].iloc[0]}
        direction = {"higher_is_better": bool(group["higher_is_better"].iloc[0])}
        rows.append({**first, **direction, "mean": values.mean(), "ci": half_width(values), **_counts(group)})
    frame = pd.DataFrame(rows)
    return frame.assign(rank=_ranks(frame, "mean", COLUMN))


def overall(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank the evaluators over all problems and tasks, best first.

    Parameters
    ----------
    scores : pandas.DataFrame
        What `scores` returns.

    Returns
    -------
    pandas.DataFrame
        One row per evaluator: ``rank`` (by ``mean_rank``; ties share the first of their places), ``evaluator``,
        ``mean_rank`` and its ``ci`` over seeds, and how many of its planned scores are ok, failed and missing:
        ``n_ok``, ``n_failed``, ``n_missing``.

    Notes
    -----
    For each seed, the evaluators are ranked in every (problem, task) on that seed's scores, and the ranks averaged;
    every one counts the same. A (problem, task, seed) counts if it is planned for at least half of the evaluators:
    a rank in a smaller field would not compare. There, what is not planned for an evaluator is missing. Failed and
    missing scores share the last places. ``mean_rank`` is the mean of these averages over seeds, and ``ci`` the
    half-width of their interval: it tells how far the mean rank moves with the seed, not how it would move with
    other data sets.
    """
    scores = _common(scores)
    ranked = scores.assign(seed_rank=_ranks(scores, "value", [*COLUMN, "seed"]))
    rows = []
    for evaluator, group in ranked.groupby("evaluator"):
        by_seed = group.groupby("seed")["seed_rank"].mean()
        rows.append(
            {"evaluator": evaluator, "mean_rank": by_seed.mean(), "ci": half_width(by_seed), **_counts(group)},
        )
    frame = pd.DataFrame(rows)
    # Averages of equal ranks can differ in their last bits, and would then not tie.
    frame.insert(0, "rank", frame["mean_rank"].round(9).rank(method="min").astype(int))
    return frame.sort_values(["rank", "evaluator"], ignore_index=True)


def _common(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores in the columns that at least half of the evaluators share, with what is not planned there as missing."""
    place = [*COLUMN, "seed"]
    evaluators = scores["evaluator"].unique()
    field = scores.groupby(place)["evaluator"].transform("nunique")
    shared = scores[field * 2 >= len(evaluators)]
    columns = shared.drop_duplicates(place)[[*place, "higher_is_better"]]
    everybody = columns.merge(pd.DataFrame({"evaluator": evaluators}), how="cross")
    told = shared.drop(columns="higher_is_better")
    whole = everybody.merge(told, on=[*place, "evaluator"], how="left")
    return whole.assign(status=whole["status"].fillna("missing"))


def cost(store: Store, suite: str) -> pd.DataFrame:
    """Average what the valuations took.

    Returns
    -------
    pandas.DataFrame
        One row per planned (problem, evaluator): ``seconds``, ``fits``, ``unlearned``, ``peak_memory`` and
        ``peak_cuda_memory`` (bytes), means over the seeds whose valuation is ok; NaN if there is none.

    Raises
    ------
    UserError
        If the suite is not there or a file of it cannot be read.
    """
    rows = []
    for cell, result, stale in _planned(store, suite):
        took = result.cost if result and result.status == "ok" and not stale else None
        costs = took.model_dump() if took else {}
        rows.append({"problem": cell.key.problem, "evaluator": cell.key.evaluator, **costs})
    frame = pd.DataFrame(rows, columns=["problem", "evaluator", *COSTS]).astype(dict.fromkeys(COSTS, float))
    return frame.groupby(["problem", "evaluator"], sort=False, as_index=False)[COSTS].mean()


def results(store: Store, suite: str) -> list[tuple[Cell, Result | None]]:
    """Planned cells with their results, None for one that failed, is missing or is of other settings than planned.

    Results have the scores that are ok and of the version, metric and direction that most others have, as in `scores`.

    Raises
    ------
    UserError
        If the suite is not there or a file of it cannot be read.
    """
    rows = scores(store, suite)
    ok = rows[rows["status"] == "ok"]
    kept = set(zip(ok["problem"], ok["evaluator"], ok["seed"], ok["task"], strict=True))
    found: list[tuple[Cell, Result | None]] = []
    for cell, result, stale in _planned(store, suite):
        if result is None or stale or result.status != "ok":
            found.append((cell, None))
            continue
        key = cell.key
        chosen = {
            task: score for task, score in result.scores.items() if (key.problem, key.evaluator, key.seed, task) in kept
        }
        found.append((cell, result.model_copy(update={"scores": chosen})))
    return found


def remarks(store: Store, suite: str) -> list[str]:
    """Say what a reader should know before comparing: results outside the plan, mixed data, mixed machines.

    Returns
    -------
    list of str
        One sentence each; empty if all is well.

    Raises
    ------
    UserError
        If the suite is not there or a file of it cannot be read.
    """
    planned = _planned(store, suite)
    folders = {cell.key.folder for cell, _, _ in planned}
    found = {path.parent.relative_to(store.root).as_posix() for path in store.root.glob(f"{suite}/*/*/seed-*/{RESULT}")}
    said = [f"{len(found - folders)} result(s) outside the plan are left out."] if found - folders else []
    current = [result for _, result, stale in planned if result is not None and not stale]
    data: dict[tuple[str, int], set[str]] = {}
    for result in current:
        if result.dataset:
            data.setdefault((result.cell.key.problem, result.cell.key.seed), set()).add(result.dataset.revision)
    said += [
        f"Results for {problem}, seed {seed}, come from {len(revisions)} different revisions of the data."
        for (problem, seed), revisions in data.items()
        if len(revisions) > 1
    ]
    where = {(result.environment.processor, result.environment.cores, result.environment.device) for result in current}
    machines = sorted(f"{processor} ({cores} cores, {device})" for processor, cores, device in where)
    if len(machines) > 1:
        said.append(f"Seconds were measured on {len(machines)} kinds of machine: {'; '.join(machines)}.")
    return said


def half_width(values: Iterable[float]) -> float:
    """Half the width of the 95% Student-t confidence interval of a mean.

    Parameters
    ----------
    values : iterable of float, n of them
        Assumed independent and about normal.

    Returns
    -------
    float
        ``t(0.975, n - 1) * s / sqrt(n)`` with the sample standard deviation s; NaN if n < 2.
    """
    sample = np.asarray(list(values), dtype=float)
    if len(sample) < 2:
        return float("nan")
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample)))


def bootstrap(values: Iterable[float]) -> tuple[float, float]:
    """95% percentile bootstrap interval of a mean.

    Parameters
    ----------
    values : iterable of float, n of them
        One a seed. Of few seeds it is too narrow: of three, the widest it can be is from the lowest to the highest.

    Returns
    -------
    low, high : float
        The same for the same values; NaN if n < 2.
    """
    sample = np.asarray(list(values), dtype=float)
    if len(sample) < 2:
        return float("nan"), float("nan")
    drawn = stats.bootstrap(
        (sample,), np.mean, n_resamples=9999, confidence_level=CONFIDENCE, method="percentile", rng=0
    ).confidence_interval
    return float(drawn.low), float(drawn.high)


def _planned(store: Store, suite: str) -> list[tuple[Cell, Result | None, bool]]:
    """Each planned cell, its result if there is one, and whether that result is of other settings than planned."""
    cells = {cell.key: cell for cell in plan(store, suite).cells}
    read = [(cell, store.read(key)) for key, cell in cells.items()]
    return [
        # The tasks do not change what the valuation computes, so they may differ.
        (cell, result, result is not None and result.cell.model_copy(update={"tasks": cell.tasks}) != cell)
        for cell, result in read
    ]


def _score(cell: Cell, task: str, result: Result | None, stale: bool) -> dict[str, Any]:
    """Make the row of one planned score; ``version`` is for `_agree`."""
    row = {"problem": cell.key.problem, "task": task, "evaluator": cell.key.evaluator, "seed": cell.key.seed}
    row |= {"value": np.nan, "metric": "", "higher_is_better": True, "status": "missing", "error": "", "version": 0}
    if result is None:
        return row
    if stale:
        return row | {"error": "the result there was computed with other settings than planned; run the suite again"}
    if result.status == "failed":
        return row | {"status": "failed", "error": result.error}
    score = result.scores.get(task)
    if score is None:
        return row
    row |= {"metric": score.headline, "higher_is_better": score.higher_is_better, "version": score.version}
    if score.value is None:
        return row | {"status": "failed", "error": score.error}
    return row | {"status": "ok", "value": score.value}


def _agree(column: Sequence[dict[str, Any]]) -> None:
    """Hold the rows of one (problem, task) to the version, metric and direction that most of them share."""

    def measure(row: dict[str, Any]) -> tuple[int, str, bool]:
        return row["version"], row["metric"], row["higher_is_better"]

    votes = Counter(measure(row) for row in column if row["status"] == "ok")
    votes = votes or Counter(measure(row) for row in column if row["metric"])
    if not votes:
        return
    usual = max(votes, key=lambda each: (votes[each], each))
    for row in column:
        if row["status"] == "ok" and measure(row) != usual:
            error = (
                f"scored by {row['metric']} v{row['version']}, most others by {usual[1]} v{usual[0]}; score it again"
            )
            row.update(status="missing", value=np.nan, error=error)
        row.update(version=usual[0], metric=usual[1], higher_is_better=usual[2])


def _ranks(frame: pd.DataFrame, value: str, within: list[str]) -> pd.Series:
    """Rank 1 for the best within a group; ties, and all that have no value, share the average of their places."""
    key = frame[value].where(~frame["higher_is_better"].astype(bool), -frame[value])
    return key.groupby([frame[name] for name in within]).rank(method="average", na_option="bottom")


def _counts(group: pd.DataFrame) -> dict[str, int]:
    return {f"n_{status}": int((group["status"] == status).sum()) for status in ("ok", "failed", "missing")}
