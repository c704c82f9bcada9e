"""Tables of a suite by goal, with absolute numbers beside the ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from leaderboard import tables
from leaderboard.gains import Gains, against_random
from leaderboard.goals import IN_WORDS, GoalView, goal_view, suite_goals
from leaderboard.statistics import records
from leaderboard.suite_scores import SuiteScores
from leaderboard.text import clean
from leaderboard.tiers import FEWEST

OF_COLUMNS = {  # what is explained where a table has the column
    "gain": (
        "Gain: the score minus that of random values in the same problem, task and seed, in the unit of the metrics, "
        "averaged over tasks and problems, with a 95% bootstrap interval over problems and their seeds; failed and "
        "missing scores count as the worst ones."
    ),
    "share of the best": (
        "Share of the best: random values have 0%, and the best evaluator of each seed 100% on average; at least -100%."
    ),
    "front": (
        "Front: the probability that nobody who takes no longer gains more, and that it gains more than random values, "
        "in the same draws. An interval is that of one evaluator; it does not say whether two differ, which tiers do."
    ),
}
RANKS_BY_GOAL = (
    "By goal: ranks and tiers are those of the tasks of the goal alone. The column of a task has the mean of its "
    "metric over seeds, then over problems."
)
GOALS_IN_WORDS = " ".join([RANKS_BY_GOAL, *OF_COLUMNS.values()])
CERTAIN = 0.5  # probability from which on an evaluator is shown as one of the front


@dataclass(frozen=True)
class GoalTable:
    """The table of one goal, and what is to be known of it.

    Parameters
    ----------
    goal : str
    table : Table
        Evaluators, best first, then reference rows.
    separable : str
        How many neighbouring ranks the data tell apart, and what numbers hold for.
    """

    goal: str
    table: tables.Table
    separable: str

    @property
    def heading(self) -> str:
        """The goal in words."""
        return self.table.title.partition(": ")[2].capitalize()


def goal_tables(suite: SuiteScores) -> tuple[GoalTable, ...]:
    """Make the table of every goal that a suite has a score for."""
    return tuple(_goal_table(goal_view(suite, goal)) for goal in suite_goals(suite))


def goals_in_words(goals: Iterable[GoalTable]) -> str:
    """Explain the columns that tables have; empty without a table."""
    shown = {entry.text for goal in goals for entry in goal.table.header}
    return " ".join([RANKS_BY_GOAL, *(text for name, text in OF_COLUMNS.items() if name in shown)]) if shown else ""


def gain(row: dict[str, Any]) -> str:
    """Format a gain with its sign, and its interval."""
    return "" if math.isnan(row["gain"]) else f"{'+' if row['gain'] > 0 else ''}{_interval(row)}"


def _interval(row: dict[str, Any]) -> str:
    return tables.between(row["gain"], row["gain_low"], row["gain_high"])


def percent(share: float) -> str:
    """Format a share; NaN gives an empty text."""
    return "" if math.isnan(share) else f"{share:.0%}"


def probability(value: float) -> str:
    """Format a probability that was estimated by draws: never 0 or 1."""
    if math.isnan(value):
        return ""
    return "<0.01" if value < 0.01 else ">0.99" if value > 0.99 else f"{value:.2f}"


def _goal_table(view: GoalView) -> GoalTable:
    columns = _columns(view)
    table = tables.Table(
        f"{view.goal}: {IN_WORDS[view.goal]}",
        tuple(header for header, _ in columns),
        tuple(tuple(entry(row) for _, entry in columns) for row in records(view.table)),
    )
    return GoalTable(view.goal, table, f"{tables.separable(view.tiers)} {_gains_in_words(view.gains)}".strip())


def _columns(view: GoalView) -> list[tuple[tables.Entry, Callable[[dict[str, Any]], tables.Entry]]]:
    """Return the header of each column, and what makes its entry of a row."""
    entry = tables.Entry
    columns: list[tuple[tables.Entry, Callable[[dict[str, Any]], tables.Entry]]] = [
        (
            entry("evaluator"),
            lambda row: entry(row["evaluator"], best=row["tier"] == 1 and row["n_ok"] > 0, note=row["role"]),
        ),
        (entry("tier"), lambda row: entry("" if row["role"] else tables.number(row["tier"], 0))),
        (entry("rank"), lambda row: entry(tables.rank_interval(row))),
    ]
    for task, (metric, up) in view.tasks.items():
        header = entry(clean(task), note=f"{clean(metric)} {tables.arrow(up)}")
        columns.append((header, lambda row, task=task: entry(tables.number(row[task]))))  # type: ignore[misc]
    compared = view.table["gain"].notna().any()
    if compared:
        columns += [
            (entry("gain", note="over random"), _gain_entry),
            (entry("share of the best"), lambda row: entry("" if _mostly_missing(row) else percent(row["normalised"]))),
        ]
    if view.table["ceiling_share"].notna().any():
        columns.append((entry("share of the ceiling"), lambda row: entry(percent(row["ceiling_share"]))))
    columns.append((entry("seconds"), lambda row: entry(tables.number(row["seconds"], 2))))
    if compared:
        header = entry("front", note="probability")
        columns.append((header, lambda row: entry(probability(row["front"]), best=row["front"] >= CERTAIN)))
    return columns


def _gain_entry(row: dict[str, Any]) -> tables.Entry:
    if _mostly_missing(row):
        return tables.Entry("", note="most cells are missing")
    note = "" if row["role"] else against_random(row)
    return tables.Entry(gain(row), note=note)


def _mostly_missing(row: dict[str, Any]) -> bool:
    """Whether most scores are missing, which count as the worst: their mean says nothing of the evaluator."""
    return bool(row["n_missing"] > row["n_ok"])


def _gains_in_words(gains: Gains) -> str:
    if gains.table["gain"].isna().all():
        return "There are no random values to compare with."
    said = []
    if gains.left_out:
        said.append(
            f"Gains leave out {gains.left_out} of {gains.left_out + gains.columns} scores of a problem and task, whose "
            "metric has no bounds and cannot be averaged with others."
        )
    if gains.observations == "seeds":
        said.append(f"With fewer than {FEWEST} problems, intervals of gains are over seeds alone.")
    return " ".join(said)
