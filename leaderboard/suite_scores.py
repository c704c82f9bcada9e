"""The cells and scores of a suite: one row for every planned one, also where there is no result.

The plan decides which rows there are. A planned score without a result has the status ``"missing"``, and a failed one
the status ``"failed"``. Neither is left out, so an evaluator cannot improve its rank by failing where it is weak.
Scores of a problem that an evaluator does not apply to have the status ``"declined"``. What makes the difference has to
be the kind of problem, so that a problem which is declined in some seeds only has failed there.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, get_args

import numpy as np
import pandas as pd

from dvbench.registry import Kind, entries
from dvbench.results import MARKS, FreshRun, Store
from dvbench.settings import Role
from leaderboard.descriptions import base_name
from leaderboard.index import Index, IndexedSuite, open_index
from leaderboard.intervals import metric_range

CELL = ["problem", "evaluator", "seed"]
COLUMN = ["problem", "task"]
COSTS = ["seconds", "fits", "unlearned", "peak_memory", "peak_cuda_memory"]
SCORE = [*COLUMN, "evaluator", "seed", "value", "metric", "higher_is_better", "status", "error", "metrics", "id"]
SCORE += ["ceiling", "lowest", "highest"]
OTHER_DATA = "computed on another revision of the data than most other results; run it again"
SOME_SEEDS = "declined in some seeds only, which counts as failed: "
STALE = "the result was computed with other settings than planned; run the suite again"


@dataclass(frozen=True)
class SuiteScores:
    """All planned cells and scores of a suite.

    Parameters
    ----------
    name : str
    version : int
    description : str
    cells : pandas.DataFrame
        One row per planned (problem, evaluator, seed), in the order of the plan: ``status`` of the valuation,
        ``error``, ``problem_kind`` (that of most results, or empty), the settings of the problem and the evaluator,
        ``role`` (that of a reference row, or empty), costs (with those of trials, see `trial_costs`), the machine, and
        ``mark``: whether its scores are ``"claimed"``, ``"recomputed"``, ``"re-run"`` or ``"re-run on fresh seeds"``.
    scores : pandas.DataFrame
        One row per (problem, task, evaluator, seed), in the order of the plan, with ``value`` (the headline metric, or
        NaN), ``metric`` (its name), ``higher_is_better``, ``status`` (``"ok"``, ``"failed"``, ``"missing"`` or
        ``"declined"``), ``error`` (the reason, or empty), ``metrics`` (all of them, as JSON), ``ceiling`` (what exact
        values reach, or NaN), and ``lowest`` and ``highest`` (the range of the headline metric). A failed valuation
        fails all tasks of its cell. ``metric`` is empty, and ``higher_is_better`` True, where no evaluator has a score.
    remarks : tuple of str
        Notes on what limits a comparison.
    fresh : dict of str to FreshRun
        Runs of evaluators on fresh seeds, where verified results are compared with them.
    """

    name: str
    version: int
    description: str
    cells: pd.DataFrame
    scores: pd.DataFrame
    remarks: tuple[str, ...]
    fresh: dict[str, FreshRun] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What it has scores of: evaluators, unlearning methods or selection strategies."""
        kind: Kind = self.cells["kind"].iloc[0]
        return kind

    @cached_property
    def roles(self) -> dict[str, str]:
        """The role of each evaluator that is a reference row; see `dvbench.settings.Role`."""
        rows = self.cells.loc[self.cells["role"] != "", ["evaluator", "role"]].drop_duplicates()
        return dict(zip(rows["evaluator"], rows["role"], strict=True))


def suite_scores(index: Index) -> SuiteScores:
    """Read the planned cells and scores of a suite.

    Raises
    ------
    UserError
        If a record of verification cannot be read.

    Notes
    -----
    Only comparable results count. Three kinds count as missing, and ``error`` gives the reason: results computed with
    other settings than planned (such as an older version of the suite), results on another revision of the data than
    most other results of the problem and seed, and scores whose version, metric or direction differs from most other
    scores of the problem and task.
    """
    indexed = index.read()
    cells = _cells(indexed, index.store)
    scores, remarks = _scores(cells, indexed.scores), _remarks(indexed, cells)
    if indexed.trials:
        remarks += (_add_trials(cells, index.store, indexed.trials),)
    return SuiteScores(
        index.suite,
        indexed.version,
        indexed.description,
        cells,
        scores,
        remarks,
        _fresh_runs(index.store, index.suite, cells),
    )


def trial_costs(cells: pd.DataFrame) -> pd.DataFrame:
    """Return what the trials of each evaluator cost on one problem, by name.

    It is the sum over trials of means over problems of medians over seeds.

    Parameters
    ----------
    cells : pandas.DataFrame
        Those of the suite of the trials, as in its `SuiteScores`; reference rows are no trials.
    """
    tried = cells[(cells["role"] == "") & (cells["status"] == "ok")]
    usual = tried.groupby(["name", "evaluator", "problem"])[COSTS[:3]].median()
    return usual.groupby(["name", "evaluator"]).mean().groupby("name").sum()


def _add_trials(cells: pd.DataFrame, store: Store, suite: str) -> str:
    """Add the costs of trials, in place, and return the remark on it."""
    if suite not in store.suites():
        return f"The costs of the trials of {suite}, which chose the settings, are not counted: it has no results here."
    plan = store.plan(suite)
    own = {cell.key.evaluator for cell in plan.cells} if plan else set()  # a submission is no trial
    with open_index(store, suite) as index:
        tried = _cells(index.read(), store)
    costs = trial_costs(tried[tried["evaluator"].isin(own)])
    for name in costs:
        cells[name] += cells["name"].map(costs[name]).fillna(0)
    return f"Seconds, fits and unlearned models include the trials on one problem of {suite}, which chose the settings."


def weakest(marks: pd.Series) -> str:
    """Return the mark of the cell that was verified least."""
    return MARKS[min((MARKS.index(mark) for mark in marks), default=0)]


def _cells(indexed: IndexedSuite, store: Store) -> pd.DataFrame:
    results = indexed.results.rename(columns={"settings": "computed"})
    cells = indexed.planned.merge(results, on=CELL, how="left")
    exists = cells["computed"].notna()
    outdated = cells["suite_version"] != indexed.version
    stale = exists & ((cells["computed"] != cells["settings"]) | outdated)
    cells["status"] = cells["valued"].where(exists & ~stale, "missing").astype(object)
    cells["error"] = cells["error"].where(cells["status"].isin(["failed", "declined"]), "").mask(stale, STALE)
    keys = [cells["problem"], cells["evaluator"]]
    apply = cells["status"].isin(["ok", "failed"]).groupby(keys).transform("any") & (cells["status"] == "declined")
    cells["error"] = cells["error"].mask(apply, SOME_SEEDS + cells["error"].astype(str))
    cells.loc[apply, "status"] = "failed"
    cells["base"] = cells["source"].map(base_name)
    plug_ins = zip(cells["role"], cells["kind"], cells["name"], strict=True)
    cells["role"] = [role or _class_role(kind, name) for role, kind, name in plug_ins]
    cells["mark"] = _marks(store, indexed.suite, cells)
    ok = cells[cells["status"] == "ok"]
    usual = _most_common(ok[["problem", "seed"]], ok["revision"], ok["mark"] != "claimed")
    seeds = cells[["problem", "seed"]].itertuples(index=False, name=None)
    other = (cells["status"] == "ok") & (cells["revision"] != [usual.get(key) for key in seeds])
    cells.loc[other, ["status", "error"]] = "missing", OTHER_DATA
    kinds = _most_common(ok[["problem"]], ok["problem_kind"], ok["mark"] != "claimed")
    cells["problem_kind"] = [kinds.get((problem,), "") for problem in cells["problem"]]
    cells.loc[cells["status"] != "ok", COSTS] = np.nan
    return cells.astype(dict.fromkeys(COSTS, float))


@cache
def _class_role(kind: Kind, name: str) -> str:
    """Return the role that a registered class states, or an empty text; nothing of others is looked up."""
    registered = entries(kind).get(name)
    role = "" if registered is None else registered.definition.metadata.get("role", "")
    return role if role in get_args(Role) else ""


def _scores(cells: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    planned = cells[[*CELL, "id", "status", "error", "problem_kind", "tasks"]]
    planned = planned.assign(task=cells["tasks"].map(json.loads))
    rows = planned.drop(columns="tasks").explode("task", ignore_index=True)
    rows = rows.merge(scores, on=["id", "task"], how="left", suffixes=("", "_score"))
    ok = rows["status"] == "ok"
    scored = ok & rows["version"].notna()
    broken = scored & rows["value"].isna()
    rows["status"] = rows["status"].mask(ok & ~scored, "missing").mask(broken, "failed")
    rows["error"] = rows["error"].mask(broken, rows["error_score"])
    measure = pd.Series(zip(rows["version"], rows["metric"], rows["higher_is_better"], strict=True), index=rows.index)
    # A failed score has a measure too, which gives the direction where no evaluator has a score.
    fine = scored & ~broken
    usual = _most_common(rows.loc[broken, COLUMN], measure[broken]) | _most_common(
        rows.loc[fine, COLUMN], measure[fine]
    )
    wanted = [usual.get(key, (0, "", 1)) for key in rows[COLUMN].itertuples(index=False, name=None)]
    for row in np.flatnonzero((rows["status"] == "ok") & (measure != pd.Series(wanted, index=rows.index))):
        (version, metric, _), (usual_version, usual_metric, _) = measure[row], wanted[row]
        error = f"scored by {metric} v{version:.0f}, most others by {usual_metric} v{usual_version:.0f}; score it again"
        rows.loc[row, ["status", "error"]] = "missing", error
    rows["metric"] = [metric for _, metric, _ in wanted]
    rows["higher_is_better"] = [bool(up) for _, _, up in wanted]
    for name in ("value", "ceiling"):
        rows[name] = rows[name].astype(float).where(rows["status"] == "ok")
    ranges = [metric_range(*names) for names in zip(rows["task"], rows["metric"], rows["problem_kind"], strict=True)]
    rows[["lowest", "highest"]] = np.array(ranges, dtype=float).reshape(-1, 2)
    return rows[SCORE]


def _most_common(
    keys: pd.DataFrame, values: pd.Series, verified: pd.Series | None = None
) -> dict[tuple[Any, ...], Any]:
    """Return the most common value of each key, of equally common ones the greatest.

    One verified row outweighs all rows that are only claimed.
    """
    weights = 1 if verified is None else verified * len(values) + 1
    counts: dict[tuple[Any, ...], Counter[Any]] = {}
    for key, value, weight in zip(
        keys.itertuples(index=False, name=None), values, pd.Series(weights, values.index), strict=True
    ):
        counts.setdefault(key, Counter())[value] += weight
    return {key: max(count, key=lambda value: (count[value], value)) for key, count in counts.items()}


def _marks(store: Store, suite: str, cells: pd.DataFrame) -> list[str]:
    records = {evaluator: store.verified(suite, evaluator) for evaluator in cells["evaluator"].unique()}
    marks = list[str]()
    for problem, evaluator, seed, sha256 in zip(*(cells[name] for name in (*CELL, "sha256")), strict=True):
        record = records[evaluator]
        cell = record.cell(problem, seed, sha256) if record else None
        marks.append(cell.how if cell else "claimed")
    return marks


def _fresh_runs(store: Store, suite: str, cells: pd.DataFrame) -> dict[str, FreshRun]:
    """Return the recorded runs on fresh seeds of evaluators with a verified cell."""
    verified = cells.loc[(cells["status"] == "ok") & (cells["mark"] != "claimed"), "evaluator"].unique()
    records = {str(name): store.verified(suite, name) for name in verified}
    return {name: record.fresh for name, record in records.items() if record and record.fresh}


def _remarks(indexed: IndexedSuite, cells: pd.DataFrame) -> tuple[str, ...]:
    outside = len(indexed.results) - cells["id"].notna().sum()
    remarks = [f"{outside} result(s) that are not planned are left out."] if outside else []
    refused = int((cells["error"] == OTHER_DATA).sum())
    if refused:
        remarks.append(f"{refused} result(s) on another revision of the data than most others are refused.")
    ok = cells[cells["status"] == "ok"]
    mixed = ok.groupby("evaluator")["object_version"].nunique()
    remarks += [f"The results of {name} are of {count} versions of it." for name, count in mixed.items() if count > 1]
    machines = sorted(ok["machine"].unique())
    if len(machines) > 1:
        remarks.append(f"Seconds were measured on {len(machines)} kinds of machine: {'; '.join(machines)}.")
    return tuple(remarks)
