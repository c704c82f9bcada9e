"""What the pages about plug-ins show of each suite: places of methods in tasks, costs, problems of data sets."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leaderboard import statistics
from leaderboard.index import Index
from leaderboard.site.front import views
from leaderboard.statistics import SuiteStatistics, records
from leaderboard.suite_scores import SuiteScores
from leaderboard.tables import groups, marks, rank_interval

PROBLEM = ["problem", "dataset", "base", "model", "noise", "players", "problem_kind", "train", "validation", "test"]


@dataclass(frozen=True)
class Digest:
    """A suite in rows, for pages that unite suites.

    Parameters
    ----------
    suite, description : str
    version : int
    methods : list of dict
        One for each label: ``kind`` and ``name`` of its plug-in, ``role``, ``tier`` of ``tiers``, ``interval`` of its
        rank, ``seconds`` of a valuation, ``mark``, and ``about`` of a submission.
    places : list of dict
        One for each label and task: ``place`` by mean rank among the ``of`` that are ranked (NaN for reference rows),
        ``tier`` of ``tiers`` within the task, the ``mean`` of the headline ``metric`` over problems, ``up``.
    ceilings : dict of str to float
        The mean ceiling of each task that has one.
    problems : list of dict
        The settings of each problem, with the mean ``utility`` of the model that is trained on all points, if a task
        measured it.
    views : list of dict
        Rankings by goal: see `leaderboard.site.front`.
    """

    suite: str
    description: str
    version: int
    methods: list[dict[str, Any]]
    places: list[dict[str, Any]]
    ceilings: dict[str, float]
    problems: list[dict[str, Any]]
    views: list[dict[str, Any]]


def digest(index: Index, suite: SuiteScores, numbers: SuiteStatistics, description: str) -> Digest:
    """Make the digest of a suite."""
    ceilings = numbers.summary.groupby("task", sort=False)["ceiling"].mean().dropna()
    return Digest(
        suite.name,
        description,
        suite.version,
        list(_methods(index, suite, numbers)),
        list(_places(suite, numbers)),
        {str(task): float(value) for task, value in ceilings.items()},
        list(_problems(index, suite)),
        list(views(suite, numbers)),
    )


def _methods(index: Index, suite: SuiteScores, numbers: SuiteStatistics) -> Iterator[dict[str, Any]]:
    about = {submission.evaluator: submission.about for submission in index.store.submissions(index.suite)}
    plug_ins = {row["evaluator"]: row for row in records(suite.cells.drop_duplicates("evaluator")[_PLUG_IN])}
    seconds, weakest = statistics.seconds(numbers.cost), marks(suite.cells)
    tiers = numbers.ranking["tier"].max()
    for row in records(numbers.ranking):
        label = row["evaluator"]
        yield {
            **plug_ins[label],
            "role": row["role"],
            "tier": row["tier"],
            "tiers": tiers,
            "rank": row["rank"],
            "interval": rank_interval(row),
            "seconds": seconds[label],
            "mark": weakest.get(label, ""),
            "about": about.get(label),
        }


_PLUG_IN = ["evaluator", "kind", "name"]


def _places(suite: SuiteScores, numbers: SuiteStatistics) -> Iterator[dict[str, Any]]:
    means = numbers.summary.groupby(["task", "evaluator"])["mean"].mean()
    for task, scores in groups(suite.scores, "task"):
        ranking = statistics.overall(scores, suite.roles)
        compared = int((ranking["role"] == "").sum())
        metric = next((name for name in scores["metric"] if name), "")
        common = {"task": task, "of": compared, "tiers": ranking["tier"].max(), "metric": metric}
        common["up"] = bool(scores["higher_is_better"].iloc[0])
        for row in records(ranking):
            if row["n_ok"] or row["n_failed"]:
                place = math.nan if row["role"] else row["rank"]
                own = {name: row[name] for name in ("evaluator", "role", "tier")}
                yield common | own | {"place": place, "mean": means.get((task, row["evaluator"]), math.nan)}


def _problems(index: Index, suite: SuiteScores) -> Iterator[dict[str, Any]]:
    utilities = _utilities(index, suite)
    for name, cells in groups(suite.cells, "problem"):
        ok = cells[cells["status"] == "ok"]
        row = records((ok if len(ok) else cells)[PROBLEM].iloc[:1])[0]
        yield row | {"utility": utilities.get(name, math.nan)}


def _utilities(index: Index, suite: SuiteScores) -> dict[str, float]:
    """Return the test utility of models that are trained on all points, by problem: means over seeds."""
    ids = dict(zip(suite.cells["id"], suite.cells["problem"], strict=True))
    measured: dict[str, dict[int, float]] = {}
    removed = "point_removal" in set(suite.scores["task"])
    for evaluator in suite.cells.drop_duplicates("problem")["evaluator"].unique() if removed else ():
        for curves in index.curves(str(evaluator)):
            # Curves of a submission may be any lines.
            fractions, utilities = (curves.lines.get(name, np.empty(0)) for name in ("fraction", "remove_high"))
            known = curves.task == "point_removal" and curves.result_id in ids
            if known and len(fractions) and len(utilities) and fractions[0] == 0:
                measured.setdefault(ids[curves.result_id], {})[curves.result_id] = float(utilities[0])
    for row in records(_selected(suite.scores)):
        accuracy = json.loads(row["metrics"]).get("full")
        if accuracy is not None:
            measured.setdefault(row["problem"], {})[row["seed"]] = accuracy
    return {problem: sum(values.values()) / len(values) for problem, values in measured.items()}


def _selected(scores: pd.DataFrame) -> pd.DataFrame:
    ok = scores[(scores["task"] == "selection_accuracy") & (scores["status"] == "ok")]
    return ok.drop_duplicates(["problem", "seed"])[["problem", "seed", "metrics"]]
