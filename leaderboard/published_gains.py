"""What the suites of a results folder say about each evaluator on each problem, for `dvbench advise`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

from dvbench.errors import UserError
from dvbench.registry import entries, find
from dvbench.results import Plan
from dvbench.results.published_gains import PublishedGain, published_gains
from dvbench.settings import DatasetSettings, Goal, ProblemSettings
from leaderboard import statistics
from leaderboard.gains import gains
from leaderboard.goals import goal_of, suite_goals
from leaderboard.index import open_index
from leaderboard.plans import merged_plan, results_store, suite_names
from leaderboard.suite_scores import SuiteScores, suite_scores

GOALS: tuple[Goal, ...] = ("find", "select", "pay")
Shapes = Mapping[str, tuple[int, int]]


def gains_of_boards(results: Path | None) -> tuple[PublishedGain, ...]:
    """Return the gains that come with dvbench, or those of a results folder; see `gains_of_results`."""
    published = published_gains()
    if results is None:
        return published
    return tuple(gains_of_results(results, {row.dataset: (row.features, row.classes) for row in published}))


def gains_of_results(results: Path, known: Shapes) -> list[PublishedGain]:
    """Collect the gains of all registered evaluators, by suite, problem and goal.

    Parameters
    ----------
    results : Path
        A results folder.
    known : mapping of str to (int, int)
        Numbers of features and classes of data sets, where their descriptions do not say them.

    Notes
    -----
    Suites of trials and of tuned settings are left out: what is advised runs with its own settings. So are suites that
    have the problems of another one with fewer seeds.

    Raises
    ------
    UserError
        If the folder does not exist, a file cannot be read, or no result can be used.
    """
    store = results_store(results)
    rows = []
    plans = {name: merged_plan(store, name) for name in suite_names(store)}
    tuned = {name for suite, plan in plans.items() if plan.trials for name in (suite, plan.trials)}
    untuned = {name: plan for name, plan in plans.items() if name not in tuned}
    for name in sorted(untuned.keys() - _repeating(untuned)):
        with open_index(store, name) as index:
            suite = suite_scores(index)
        problems = {cell.key.problem: cell.problem for cell in plans[name].cells}
        for goal in suite_goals(suite):
            if goal in GOALS:
                rows += _of_goal(suite, goal, problems, known)
    if not rows:
        raise UserError(f"{results} has no results of evaluators beside random values: give another --results")
    return [PublishedGain(**row) for row in rows]


def _repeating(plans: Mapping[str, Plan]) -> set[str]:
    """Return the suites whose problems are all those of another suite, which has more seeds."""
    problems = {name: {cell.key.problem: cell.problem for cell in plan.cells} for name, plan in plans.items()}
    seeds = {name: len({cell.key.seed for cell in plan.cells}) for name, plan in plans.items()}
    return {
        name
        for name, other in permutations(plans, 2)
        if seeds[name] < seeds[other] and problems[name].items() <= problems[other].items()
    }


def _of_goal(
    suite: SuiteScores, goal: Goal, problems: Mapping[str, ProblemSettings], known: Shapes
) -> list[dict[str, Any]]:
    """One row for each classification problem, without noise on features, and each evaluator that has a gain."""
    scores = suite.scores[[goal_of(task) == goal for task in suite.scores["task"]]]
    compared = suite.cells[(suite.cells["kind"] == "evaluators") & (suite.cells["problem_kind"] == "classification")]
    valued = statistics.records(compared.loc[compared["train"].notna(), ["problem", "evaluator", "name", "train"]])
    cells = {(row["problem"], row["evaluator"]): row for row in valued}
    cost = statistics.cost(suite.cells)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for problem in map(str, scores["problem"].unique()):
        settings, of_problem = problems[problem], cost[cost["problem"] == problem]
        if settings.noise.kind == "features":
            continue
        seconds = {row["evaluator"]: row["seconds"] for row in statistics.records(of_problem)}
        table = gains(scores[scores["problem"] == problem], of_problem, suite.roles).table["gain"].dropna()
        for label, gain in sorted(zip(map(str, table.index), table, strict=True), key=lambda each: -each[1]):
            cell = cells.get((problem, label))
            if label in suite.roles or cell is None or not seconds[label] >= 0:
                continue
            if cell["name"] not in entries("evaluators"):
                continue
            features, classes = _shape(settings.dataset, known)
            rows.setdefault(
                (problem, cell["name"]),
                {
                    "suite": suite.name, "problem": problem, "dataset": str(settings.dataset), "goal": goal,
                    "evaluator": cell["name"], "gain": _short(gain), "seconds": _short(seconds[label]),
                    "rows": int(cell["train"]), "features": features, "classes": classes,
                    "noise": settings.noise.rate,
                },
            )  # fmt: skip
    return list(rows.values())


def _shape(dataset: DatasetSettings, known: Shapes) -> tuple[int, int]:
    """Return the numbers of features and classes that a data set's description states; 0 where it does not."""
    if str(dataset) in known:
        return known[str(dataset)]
    try:
        text = find("datasets", dataset.name).summary
    except UserError:
        return 0, 0
    matches = (re.search(rf"([\d,]+) {what}", text) for what in ("features", "classes"))
    features, classes = (0 if match is None else int(match[1].replace(",", "")) for match in matches)
    return 0 if "encoder" in dataset.params else features, classes


def _short(value: float) -> float:
    return float(json.dumps(float(f"{value:.4g}")))
