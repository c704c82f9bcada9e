"""Numbers, tables and claims in a document, computed from published results.

In the document, a comment after a number says what the number is, ``0.93<!--= score("quick", "point_removal", "lava")
-->``, a comment of its own makes a claim, ``<!--! seconds("quick", "lava") < 9 -->``, and a table stands between
``<!--# table("quick", removal="point_removal") -->`` and ``<!-- end -->``. The functions that expressions may call are
the methods of `Evidence`. ``python -m leaderboard.evidence docs/findings.md --results
results`` says which numbers are outdated and which claims do not hold, and with ``--write`` replaces the numbers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from dvbench.errors import UserError, one_line
from dvbench.files import write_atomically
from dvbench.results import Store
from dvbench.settings import Goal
from leaderboard.budgets import budget_differences
from leaderboard.goal_tables import gain
from leaderboard.goals import GoalView, goal_view
from leaderboard.index import open_index
from leaderboard.intervals import interval
from leaderboard.statistics import cost as costs
from leaderboard.statistics import ranked, records, seconds
from leaderboard.suite_scores import SuiteScores, suite_scores
from leaderboard.tables import rank_interval
from leaderboard.tiers import Tiers

NUMBER = re.compile(r"(?P<text>[^\s|(*]+)(?P<bold>\**)<!--=(?P<expression>.*?)-->", re.DOTALL)
TABLE = re.compile(r"<!--#(?P<expression>.*?)-->\n(?P<text>.*?)<!-- end -->", re.DOTALL)
CLAIM = re.compile(r"<!--!(?P<expression>.*?)-->", re.DOTALL)
COMMENT = re.compile(r"<!--[=!#]")


class Evidence:
    """What published results say.

    Parameters
    ----------
    results : Path
        Folder of results.
    """

    def __init__(self, results: Path) -> None:
        self._store = Store(results)
        self._suites: dict[str, _Suite] = {}

    def _suite(self, name: str) -> _Suite:
        if name not in self._suites:
            with open_index(self._store, name) as index:
                self._suites[name] = _Suite(suite_scores(index))
        return self._suites[name]

    def score(self, suite: str, task: str, evaluator: str, problem: str = "") -> float:
        """Mean score of a task over problems, each of which has the same weight, or of the problems of this prefix.

        ``task`` may name another metric than its headline, ``"point_addition:high_against_random"``.
        """
        return float(self._by_problem(suite, task, evaluator, problem).mean())

    def below_zero(self, suite: str, task: str, evaluator: str) -> int:
        """Return the number of problems on which the mean score is below zero."""
        return int((self._by_problem(suite, task, evaluator) < 0).sum())

    def _by_problem(self, suite: str, task: str, evaluator: str, problem: str = "") -> pd.Series:
        means = self._suite(suite).means_of(task, problem)
        rows = means[means["evaluator"] == evaluator]
        if rows.empty:
            raise KeyError(f"{suite} has no score of {evaluator} in {task} on {problem or 'any problem'}")
        return rows["value"]

    def place(self, suite: str, task: str, evaluator: str, problem: str = "") -> int:
        """Place of an evaluator by its mean score in a task, among those that are ranked; 1 is the best."""
        return self._suite(suite).order(task, problem).index(evaluator) + 1

    def best(self, suite: str, task: str, problem: str = "") -> str:
        """Return the evaluator with the best mean score in a task, among those that are ranked."""
        return self._suite(suite).order(task, problem)[0]

    def seconds(self, suite: str, evaluator: str) -> float:
        """Seconds of processor time of a valuation: medians over seeds, then the mean over problems."""
        return float(self._suite(suite).seconds[evaluator])

    def tiers(self, suite: str, **goals: str) -> str:
        """Return a table in Markdown: the tiers of each goal, and the ranges of a task's mean scores and of seconds.

        The task of a goal follows its name, ``find="noisy_label_detection"``.
        """
        lines = [["goal", "tier", "evaluators", "score", "seconds"], ["---", "---:", "---", "---:", "---:"]]
        for goal, task in goals.items():
            view = self._suite(suite).view(goal)
            rows = view.table[view.table["role"] == ""].set_index("evaluator")
            score = self._suite(suite).by_evaluator(task).reindex(rows.index)
            for tier, of_tier in rows.groupby("tier"):
                ranges = [_range(each.loc[of_tier.index]) for each in (score, rows["seconds"])]
                lines.append([goal, f"{tier:.0f}", ", ".join(f"`{name}`" for name in of_tier.index), *ranges])
        return _markdown(lines)

    def table(self, suite: str, **columns: str) -> str:
        """Return a table in Markdown: rank, mean scores of tasks (by the heading of their column) and seconds."""
        scored = self._suite(suite)
        names = [*scored.ranking.index[scored.ranking["role"] == ""], *scored.scores.roles]
        return self._table(suite, {name: [self.rank(suite, name)] for name in names}, ["rank"], columns)

    def goal_table(self, suite: str, goal: str, **columns: str) -> str:
        """Return a table in Markdown, as `table`, of the ranks of a goal and the gains over random values."""
        view = self._suite(suite).view(goal)
        rows = {row["evaluator"]: [rank_interval(row), gain(row)] for row in records(view.table) if not row["role"]}
        return self._table(suite, rows, ["rank", "gain"], columns)

    def tuned_table(self, fixed: str, tuned: str, **columns: str) -> str:
        """Return a table in Markdown: scores and seconds of a suite, and what another one with tuned settings changes.

        Changes are means over the problems that both have, of the same seeds, with their intervals.
        """
        lines = [["evaluator", *(each for name in columns for each in (name.replace("_", " "), "tuned"))]]
        lines[0] += ["seconds", "tuned"]
        lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
        before, after = self._suite(fixed), self._suite(tuned)
        roles, order = after.scores.roles, after.ranking.index
        for name in [str(each) for each in order if each not in roles and each in before.ranking.index]:
            line = [f"`{name}`"]
            for task in columns.values():
                ours, theirs = (each.of_task(task).set_index("evaluator").loc[[name]] for each in (before, after))
                both = ours.merge(theirs, on=["problem", "seed"], suffixes=("", "_tuned"))
                change = (both["value_tuned"] - both["value"]).groupby(both["problem"]).mean()
                low, high = interval(list(change))
                line += [_two(both.groupby("problem")["value"].mean().mean())]
                line += [_change(change.mean(), low, high)]
            lines.append([*line, _two(before.seconds[name]), _two(after.seconds[name])])
        return _markdown(lines)

    def budget_table(self, suite: str, **columns: str) -> str:
        """Return a table in Markdown: scores and seconds of evaluators with two budgets, and what the larger changes.

        The evaluator that is best at the first task with the larger budget comes first.
        """
        changes = self._suite(suite).budget_changes
        lines = [["evaluator", *(each for name in columns for each in (name.replace("_", " "), "change"))]]
        lines[0] += ["seconds", "larger budget"]
        lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
        tables = [{row["evaluator"]: row for row in changes if row["task"] == task} for task in columns.values()]
        upwards = any(row["higher_is_better"] for row in tables[0].values())
        for name, first in sorted(tables[0].items(), key=lambda item: item[1]["score_larger"], reverse=upwards):
            line = [f"`{name}`"]
            for row in (table[name] for table in tables):
                line += [_two(row["score"]), _change(row["difference"], row["low"], row["high"])]
            lines.append([*line, _two(first["seconds"]), _two(first["seconds_larger"])])
        return _markdown(lines)

    def gains_with_time(self, suite: str, task: str) -> list[str]:
        """Evaluators that a larger budget is shown to make better at a task, by an interval that is above zero."""
        return [name for name, low, _ in self._with_time(suite, task) if low > 0]

    def loses_with_time(self, suite: str, task: str) -> list[str]:
        """Evaluators that a larger budget is shown to make worse at a task, by an interval that is below zero."""
        return [name for name, _, high in self._with_time(suite, task) if high < 0]

    def _with_time(self, suite: str, task: str) -> list[tuple[str, float, float]]:
        """Intervals of what a larger budget changes, with the sign that makes higher ones better."""
        rows = [row for row in self._suite(suite).budget_changes if row["task"] == task]
        ends = [(row["low"], row["high"]) if row["higher_is_better"] else (-row["high"], -row["low"]) for row in rows]
        return [(str(row["evaluator"]), low, high) for row, (low, high) in zip(rows, ends, strict=True)]

    def _table(self, suite: str, rows: Mapping[str, list[str]], first: list[str], columns: Mapping[str, str]) -> str:
        headings = ["evaluator", *first, *(name.replace("_", " ") for name in columns), "seconds"]
        lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
        numbers = [*(self._suite(suite).by_evaluator(task) for task in columns.values()), self._suite(suite).seconds]
        for name, begin in rows.items():
            lines.append([f"`{name}`", *begin, *(_two(each.get(name, np.nan)) for each in numbers)])
        return _markdown(lines)

    def better_than_random(self, suite: str, goal: str) -> list[str]:
        """Return the evaluators whose gain over random values has an interval above zero, by their rank."""
        table = self._suite(suite).view(goal).table
        return [str(name) for name in table.loc[(table["role"] == "") & (table["gain_low"] > 0), "evaluator"]]

    def worse_than_random(self, suite: str, goal: str) -> list[str]:
        """Return the evaluators whose gain over random values has an interval below zero, by their rank."""
        table = self._suite(suite).view(goal).table
        return [str(name) for name in table.loc[(table["role"] == "") & (table["gain_high"] < 0), "evaluator"]]

    def rank(self, suite: str, evaluator: str) -> str:
        """Return the interval of the overall rank, such as ``1-4``."""
        return rank_interval(records(self._suite(suite).ranking.loc[[evaluator]])[0])

    def separable(self, suite: str, goal: str = "") -> int:
        """Return how many pairs of evaluators with neighbouring ranks differ, of a goal or of all tasks."""
        return self._suite(suite).tiers(goal).separable

    def neighbours(self, suite: str, goal: str = "") -> int:
        """Return how many pairs of evaluators have neighbouring ranks."""
        return self._suite(suite).tiers(goal).neighbours

    def problems(self, suite: str) -> int:
        """Return the number of problems of a suite."""
        return int(self._suite(suite).scores.scores["problem"].nunique())

    def mapped(self, task: str, method: str, **setting: str | float) -> float:
        """Return the mean score of Unlearning Shapley in ``unlearning-map.csv``: the best of the settings not given."""
        table = self._map
        for name, value in {"task": task, "method": method, **setting}.items():
            table = table[table[name] == value]
        return float(table["mean"].max())

    @cached_property
    def _map(self) -> pd.DataFrame:
        return pd.read_csv(self._store.root / "unlearning-map.csv")

    def seeds(self, suite: str) -> int:
        """Return the number of seeds of a suite that are computed."""
        scores = self._suite(suite).scores.scores
        return int(scores.loc[scores["status"] == "ok", "seed"].nunique())

    def evaluators(self, suite: str) -> int:
        """Return the number of evaluators of a suite that are computed, with reference rows."""
        scores = self._suite(suite).scores.scores
        return int(scores.loc[scores["status"] == "ok", "evaluator"].nunique())


@dataclass(frozen=True)
class _Suite:
    """Tables of a suite that are computed when they are first asked for."""

    scores: SuiteScores
    views: dict[str, GoalView] = field(default_factory=dict)

    def view(self, goal: str) -> GoalView:
        """Return the ranking of a goal."""
        if goal not in self.views:
            self.views[goal] = goal_view(self.scores, cast("Goal", goal))
        return self.views[goal]

    def tiers(self, goal: str) -> Tiers:
        """Return the tiers of a goal, or without one those over all tasks."""
        return self.view(goal).tiers if goal else self.ranked[1]

    def of_task(self, task: str, problem: str = "") -> pd.DataFrame:
        """Scores of a task that are ok: of its headline metric, or of the one after a colon."""
        name, _, metric = task.partition(":")
        rows = self.scores.scores
        rows = rows[(rows["task"] == name) & (rows["status"] == "ok") & rows["problem"].str.startswith(problem)]
        return rows.assign(value=[json.loads(each)[metric] for each in rows["metrics"]]) if metric else rows

    def means_of(self, task: str, problem: str = "") -> pd.DataFrame:
        """Means over seeds by problem and evaluator, of a task as in `of_task`."""
        rows = self.of_task(task, problem)
        return rows.groupby(["problem", "evaluator"])["value"].mean().reset_index()

    def by_evaluator(self, task: str, problem: str = "") -> pd.Series:
        """Means over problems."""
        return self.means_of(task, problem).groupby("evaluator")["value"].mean()

    @cached_property
    def ranked(self) -> tuple[pd.DataFrame, Tiers]:
        return ranked(self.scores.scores, self.scores.roles)

    @cached_property
    def ranking(self) -> pd.DataFrame:
        return self.ranked[0].set_index("evaluator")

    @cached_property
    def budget_changes(self) -> list[dict[str, Any]]:
        return records(budget_differences(self.scores))

    @cached_property
    def seconds(self) -> pd.Series:
        return seconds(costs(self.scores.cells))

    def order(self, task: str, problem: str = "") -> list[str]:
        """Evaluators by their mean score in a task, best first, without reference rows."""
        by_evaluator = self.by_evaluator(task, problem).drop(list(self.scores.roles), errors="ignore")
        frame = self.scores.scores
        upwards = bool(frame.loc[frame["task"] == task.partition(":")[0], "higher_is_better"].iloc[0])
        return [str(name) for name in by_evaluator.sort_values(ascending=not upwards, kind="stable").index]


def _range(numbers: pd.Series) -> str:
    ends = dict.fromkeys(map(_two, (numbers.min(), numbers.max())))
    return " to ".join(ends)


def _two(number: float) -> str:
    """Two decimals, without a sign of zero; empty for NaN."""
    return "" if np.isnan(number) else f"{round(number, 2) + 0.0:.2f}"


def _change(mean: float, low: float, high: float) -> str:
    """Write a difference with its sign and its interval."""
    mean, low, high = (round(number, 3) + 0.0 for number in (mean, low, high))
    return f"{mean:+.3f} [{low:.3f}, {high:.3f}]"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def updated(text: str, evidence: Evidence) -> tuple[str, list[str]]:
    """Compute the numbers of a document again.

    Parameters
    ----------
    text : str
    evidence : Evidence

    Returns
    -------
    text : str
        The document with the numbers that the results give, with as many decimals as before.
    claims : list of str
        Claims that do not hold.

    Raises
    ------
    ValueError
        If a comment cannot be read, or what it asks for is not in the results.
    """
    names = {name: getattr(evidence, name) for name in dir(Evidence) if not name.startswith("_")}
    names |= {"abs": abs, "all": all, "max": max, "min": min}

    def value_of(expression: str) -> object:
        try:
            # Documents are the project's own code.
            return eval(" ".join(expression.split()), {"__builtins__": {}, **names})  # noqa: S307
        except Exception as error:
            raise ValueError(f"{' '.join(expression.split())}: {one_line(error)}") from error

    read = {text.index("<!--", match.start()) for kind in (NUMBER, CLAIM, TABLE) for match in kind.finditer(text)}
    if others := [match.start() for match in COMMENT.finditer(text) if match.start() not in read]:
        line = 1 + text.count("\n", 0, others[0])
        raise ValueError(
            f"line {line}: a comment that begins with <!--=, <!--! or <!--# is not closed here or above, follows no "
            "number, or is a table without <!-- end -->"
        )
    claims = [match["expression"] for match in CLAIM.finditer(text)]
    failed = [" ".join(claim.split()) for claim in claims if not value_of(claim)]

    def replaced(match: re.Match[str]) -> str:
        shown = _as_before(match["text"], value_of(match["expression"]))
        return f"{shown}{match['bold']}<!--={match['expression']}-->"

    text = TABLE.sub(lambda each: f"<!--#{each[1]}-->\n{value_of(each[1])}<!-- end -->", text)
    return NUMBER.sub(replaced, text), failed


def _as_before(before: str, value: object) -> str:
    """Write a value with as many decimals as the text before, and the same sign of percent."""
    if not isinstance(value, float | int):
        return str(value)
    percent = "%" if before.endswith("%") else ""
    decimals = len(before.rstrip("%").partition(".")[2])
    return f"{round(100 * value if percent else value, decimals) + 0.0:,.{decimals}f}{percent}"


def main() -> int:
    """Check a document; returns the exit code: 1 if it is outdated, 2 if it cannot be checked, and is not changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--write", action="store_true", help="replace numbers that are outdated")
    given = parser.parse_args()
    try:
        before = given.document.read_text(encoding="utf-8")
        after, failed = updated(before, Evidence(given.results))
        if given.write and after != before:
            write_atomically(given.document, after.encode())
    except (OSError, UserError, ValueError) as error:
        sys.stderr.write(f"error: {given.document}: {one_line(error)}\n")
        return 2
    pairs = [pair for kind in (NUMBER, TABLE) for pair in zip(kind.finditer(before), kind.finditer(after), strict=True)]
    for old, new in pairs:
        if old["text"] != new["text"]:
            sys.stdout.write(f"{old['text']} -> {new['text']}: {' '.join(old['expression'].split())}\n")
    for claim in failed:
        sys.stdout.write(f"does not hold: {claim}\n")
    return int(bool(failed) or (after != before and not given.write))


if __name__ == "__main__":
    sys.exit(main())
