"""Views of a suite by goal: what its scores say to somebody who wants to find wrong labels, or select data, or pay.

A task states its goal where it states its metric, ``@task(goal="find")``; see `dvbench.settings.Goal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import cast, get_args

import numpy as np
import pandas as pd

from dvbench.errors import UserError
from dvbench.registry import find
from dvbench.settings import Goal
from leaderboard import statistics
from leaderboard.gains import Gains, gains
from leaderboard.suite_scores import COLUMN, SuiteScores
from leaderboard.tiers import Tiers

GOALS: tuple[Goal, ...] = get_args(Goal)
IN_WORDS: dict[Goal, str] = {
    "find": "find wrong labels and broken features",
    "select": "select the data to train on",
    "pay": "pay providers what their data are worth",
    "unlearn": "unlearn data as if a model had never seen them",
    "check": "check properties that all values should have",
}


@dataclass(frozen=True)
class GoalView:
    """What a suite says about one goal.

    Parameters
    ----------
    goal : Goal
    tasks : dict of str to (str, bool)
        The tasks of the goal that have a score, with their headline metrics and whether higher is better.
    table : pandas.DataFrame
        What `leaderboard.statistics.ranked` returns of these tasks alone, and besides the name of each task with the
        mean of its headline metric, ``seconds``, ``gain``, ``gain_low``, ``gain_high`` and ``front`` (see
        `leaderboard.gains.gains`), and ``ceiling_share``, the mean share of the ceiling. A mean is over seeds, then
        over problems, of which each has the same weight; NaN if a problem is lacking that is not declined.
    tiers : Tiers
    gains : Gains
    problems : int
    """

    goal: Goal
    tasks: dict[str, tuple[str, bool]]
    table: pd.DataFrame
    tiers: Tiers
    gains: Gains
    problems: int


@cache
def goal_of(task: str) -> Goal:
    """Return the goal of a task as its source states it; "check" for one that states none or is not installed."""
    try:
        stated = find("tasks", task).definition.metadata.get("goal")
    except UserError:
        return "check"
    return cast("Goal", stated) if stated in GOALS else "check"


def suite_goals(suite: SuiteScores) -> list[Goal]:
    """Return the goals that a suite has a score for, in the order of `GOALS`."""
    scored = suite.scores.loc[suite.scores["status"] == "ok", "task"].unique()
    goals = {goal_of(task) for task in scored}
    return [goal for goal in GOALS if goal in goals]


def goal_view(suite: SuiteScores, goal: Goal) -> GoalView:
    """Rank the evaluators of a suite for one goal.

    Raises
    ------
    ValueError
        If the suite has no score for it.
    """
    if goal not in suite_goals(suite):
        raise ValueError(f"the suite {suite.name} has no score for the goal {goal}")
    scores = suite.scores[[goal_of(task) == goal for task in suite.scores["task"]]]
    cells = suite.cells[suite.cells["problem"].isin(scores["problem"])]
    cost, roles = statistics.cost(cells), suite.roles
    table, separation = statistics.ranked(scores, roles)
    known = scores[scores["metric"] != ""].drop_duplicates("task")
    tasks = {
        str(task): (str(metric), bool(up))
        for task, metric, up in zip(known["task"], known["metric"], known["higher_is_better"], strict=True)
    }
    summary = statistics.summary(scores, roles)
    gained = gains(scores, cost, roles)
    table = table.merge(task_means(summary, "mean")[list(tasks)].reset_index(), on="evaluator", how="left")
    shares = task_means(summary.assign(task="ceiling_share"), "share").reset_index()
    table = table.merge(shares, on="evaluator", how="left").merge(
        gained.table.rename_axis("evaluator").reset_index(), on="evaluator", how="left"
    )
    table["seconds"] = statistics.seconds(cost).reindex(table["evaluator"]).to_numpy()
    return GoalView(goal, tasks, table, separation, gained, scores["problem"].nunique())


def task_means(summary: pd.DataFrame, name: str) -> pd.DataFrame:
    """Average a column over the problems of each evaluator (rows) and task (columns).

    NaN if a problem has no number that has one for another evaluator, unless it is declined.
    """
    comparable = summary.groupby(COLUMN)[name].transform("count") > 0
    counted = summary[comparable & ~((summary["n_ok"] == 0) & (summary["n_declined"] > 0))]
    by_problem = counted.groupby(["evaluator", "task", "problem"])[name]
    means = by_problem.mean().groupby(level=[0, 1]).agg(lambda numbers: numbers.mean(skipna=False)).unstack()
    return means.reindex(index=summary["evaluator"].unique(), columns=summary["task"].unique()).astype(np.float64)
