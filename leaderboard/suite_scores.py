"""What counts of a suite: every planned cell and score, whether it is there or not, and what may be compared.

The plan decides. A planned score that is not there is a row with status ``"missing"``, a failure one with status
``"failed"``. Neither is left out, so an evaluator cannot climb by failing where it is weak.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dvbench.results import Store
from leaderboard.index import Index, Indexed

CELL = ["problem", "evaluator", "seed"]
COLUMN = ["problem", "task"]
COSTS = ["seconds", "fits", "unlearned", "peak_memory", "peak_cuda_memory"]
MARKS = ("claimed", "recomputed", "re-run")
SCORE = [*COLUMN, "evaluator", "seed", "value", "metric", "higher_is_better", "status", "error", "metrics", "id"]
OTHER_DATA = "computed on another revision of the data than most others; run it again"
STALE = "the result there was computed with other settings than planned; run the suite again"


@dataclass(frozen=True)
class SuiteScores:
    """A suite as it stands.

    Parameters
    ----------
    suite : str
    version : int
    description : str
    cells : pandas.DataFrame
        One row per planned (problem, evaluator, seed), in the order of the plan: ``status`` of the valuation,
        ``error``, what problem and evaluator are, costs, where it ran, and its ``mark``: ``"claimed"``,
        ``"recomputed"`` or ``"re-run"``.
    scores : pandas.DataFrame
        One row per (problem, task, evaluator, seed), in the order of the plan, with ``value`` (the headline metric, or
        NaN), ``metric`` (its name), ``higher_is_better``, ``status`` (``"ok"``, ``"failed"`` or ``"missing"``),
        ``error`` (the reason, or empty) and ``metrics`` (all of them, as JSON). A failed valuation fails all tasks of
        its cell. ``metric`` is empty, and ``higher_is_better`` True, where nobody has a score.
    remarks : tuple of str
        What a reader should know before comparing.
    """

    suite: str
    version: int
    description: str
    cells: pd.DataFrame
    scores: pd.DataFrame
    remarks: tuple[str, ...]

    @property
    def random(self) -> list[str]:
        """Evaluators that value at random."""
        return list(self.cells.loc[self.cells["name"] == "random", "evaluator"].unique())


def suite_scores(index: Index) -> SuiteScores:
    """Find out how a suite stands.

    Raises
    ------
    UserError
        If a record of verification cannot be read.

    Notes
    -----
    Only like is compared with like. What was computed with other settings than those planned (an older version of the
    suite, for instance) is refused: it counts as missing. So does a result on another revision of the data than most
    others of its problem and seed, and a score whose version, metric or direction differs from that of most others in
    its column. ``error`` says so.
    """
    found = index.read()
    cells = _cells(found, index.store)
    scores, remarks = _scores(cells, found.scores), _remarks(found, cells)
    return SuiteScores(index.suite, found.version, found.description, cells, scores, remarks)


def weakest(marks: pd.Series) -> str:
    """The mark that all of these deserve."""
    return MARKS[min((MARKS.index(mark) for mark in marks), default=0)]


def _cells(found: Indexed, store: Store) -> pd.DataFrame:
    results = found.results.rename(columns={"settings": "computed"})
    cells = found.planned.merge(results, on=CELL, how="left")
    there = cells["computed"].notna()
    outdated = cells["suite_version"] != found.version
    stale = there & ((cells["computed"] != cells["settings"]) | outdated)
    failed = there & ~stale & cells["failed"].eq(1)
    cells["status"] = np.select([~there | stale, failed], ["missing", "failed"], "ok")
    cells["error"] = cells["error"].where(failed, "").mask(stale, STALE)
    cells["mark"] = _marks(store, found.suite, cells)
    ok = cells[cells["status"] == "ok"]
    usual = _usual(ok[["problem", "seed"]], ok["revision"], ok["mark"] != "claimed")
    places = cells[["problem", "seed"]].itertuples(index=False, name=None)
    other = (cells["status"] == "ok") & (cells["revision"] != [usual.get(place) for place in places])
    cells.loc[other, ["status", "error"]] = "missing", OTHER_DATA
    cells.loc[cells["status"] != "ok", COSTS] = np.nan
    return cells.astype(dict.fromkeys(COSTS, float))


def _scores(cells: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    planned = cells[[*CELL, "id", "status", "error", "tasks"]].assign(task=cells["tasks"].map(json.loads))
    rows = planned.drop(columns="tasks").explode("task", ignore_index=True)
    rows = rows.merge(scores, on=["id", "task"], how="left", suffixes=("", "_score"))
    ok = rows["status"] == "ok"
    scored = ok & rows["version"].notna()
    broken = scored & rows["value"].isna()
    rows["status"] = rows["status"].mask(ok & ~scored, "missing").mask(broken, "failed")
    rows["error"] = rows["error"].mask(broken, rows["error_score"])
    measure = pd.Series(zip(rows["version"], rows["metric"], rows["higher_is_better"], strict=True), index=rows.index)
    # What failed has a measure too, which tells the direction where nobody has a score.
    fine = scored & ~broken
    usual = {**_usual(rows.loc[broken, COLUMN], measure[broken]), **_usual(rows.loc[fine, COLUMN], measure[fine])}
    wanted = [usual.get(place, (0, "", 1)) for place in rows[COLUMN].itertuples(index=False, name=None)]
    for place in np.flatnonzero((rows["status"] == "ok") & (measure != pd.Series(wanted, index=rows.index))):
        (version, metric, _), (most, usually, _) = measure[place], wanted[place]
        error = f"scored by {metric} v{version:.0f}, most others by {usually} v{most:.0f}; score it again"
        rows.loc[place, ["status", "error"]] = "missing", error
    rows["metric"] = [metric for _, metric, _ in wanted]
    rows["higher_is_better"] = [bool(up) for _, _, up in wanted]
    rows["value"] = rows["value"].astype(float).where(rows["status"] == "ok")
    return rows[SCORE]


def _usual(places: pd.DataFrame, found: pd.Series, verified: pd.Series | None = None) -> dict[tuple[Any, ...], Any]:
    """What most have in each place, no claim against what is verified; of equally many, the greatest."""
    weights = 1 if verified is None else verified * len(found) + 1
    counts: dict[tuple[Any, ...], Counter[Any]] = {}
    for place, what, weight in zip(
        places.itertuples(index=False, name=None), found, pd.Series(weights, found.index), strict=True
    ):
        counts.setdefault(place, Counter())[what] += weight
    return {place: max(count, key=lambda each: (count[each], each)) for place, count in counts.items()}


def _marks(store: Store, suite: str, cells: pd.DataFrame) -> list[str]:
    records = {evaluator: store.verified(suite, evaluator) for evaluator in cells["evaluator"].unique()}
    marks = list[str]()
    for problem, evaluator, seed, sha256 in zip(*(cells[name] for name in (*CELL, "sha256")), strict=True):
        record = records[evaluator]
        cell = record.cells.get(f"{problem}/seed-{seed}") if record else None
        marks.append(cell.how if cell and cell.sha256 == sha256 else "claimed")
    return marks


def _remarks(found: Indexed, cells: pd.DataFrame) -> tuple[str, ...]:
    outside = len(found.results) - cells["id"].notna().sum()
    said = [f"{outside} result(s) outside the plan are left out."] if outside else []
    refused = int((cells["error"] == OTHER_DATA).sum())
    said += [f"{refused} result(s) on another revision of the data than most others are refused."] if refused else []
    ok = cells[cells["status"] == "ok"]
    mixed = ok.groupby("evaluator")["object_version"].nunique()
    said += [f"Results of {name} come from {count} versions of it." for name, count in mixed.items() if count > 1]
    machines = sorted(ok["machine"].unique())
    if len(machines) > 1:
        said.append(f"Seconds were measured on {len(machines)} kinds of machine: {'; '.join(machines)}.")
    return tuple(said)
