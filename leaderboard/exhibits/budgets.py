"""What a larger budget buys: scores of the same evaluator with two of them, against seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from leaderboard import statistics
from leaderboard.drawing import name_lines, panels, plain_ticks, styles_beside
from leaderboard.exhibit import HIGH, LOW, Exhibit, ExhibitMaker, SuiteResults
from leaderboard.goals import task_means
from leaderboard.intervals import interval

LARGER = re.compile(r"(.+)-\d+s")  # the label of NAME with another number of seconds
CAPTION = (
    "An evaluator named NAME-20s is NAME with a budget of about 20 seconds. Lines go from the smaller budget to the "
    "larger one: scores are means over seeds, then over problems, and seconds of a valuation medians over seeds. "
    "A grey point is an evaluator with one budget, and the dotted line random values. The difference is the score with "
    "the larger budget minus that with the smaller one: a mean over problems, with its 95% Student-t interval. "
    "Each interval holds for its evaluator and task alone: of twenty, one may miss zero by chance."
)


def budgets(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Compare evaluators with themselves where a suite has them with two budgets."""
    suite = results.scores
    pairs = _pairs(list(suite.cells["evaluator"].unique()))
    if not pairs:
        return []
    summary = statistics.summary(suite.scores, suite.roles)
    seconds = statistics.seconds(statistics.cost(suite.cells))
    directions = summary.drop_duplicates("task").set_index("task")["higher_is_better"]
    rows = [
        row
        for task, of_task in summary.groupby("task", sort=False)
        for row in _differences(str(task), of_task, pairs, seconds)
    ]
    table = pd.DataFrame(rows)
    means = task_means(summary, "mean")
    figure = _draw(means, directions, pairs, seconds, suite.roles)
    return [Exhibit("budgets", "What a larger budget buys", CAPTION, table, {"": figure})]


def _pairs(evaluators: Sequence[str]) -> dict[str, str]:
    """Return the evaluators with two budgets: the label with the larger one by that with the smaller one."""
    matches = {match.group(1): name for name in evaluators if (match := LARGER.fullmatch(name))}
    return {name: matches[name] for name in evaluators if name in matches}


def _differences(task: str, summary: pd.DataFrame, pairs: dict[str, str], seconds: pd.Series) -> list[dict[str, Any]]:
    scores = summary.pivot(index="problem", columns="evaluator", values="mean")
    rows = []
    for smaller, larger in pairs.items():
        both = scores.reindex(columns=[smaller, larger]).dropna()
        differences = both[larger] - both[smaller]
        low, high = interval(differences.tolist())
        rows.append(
            {
                "task": task,
                "evaluator": smaller,
                "problems": len(both),
                "seconds": seconds.get(smaller),
                "seconds_larger": seconds.get(larger),
                "score": both[smaller].mean(),
                "score_larger": both[larger].mean(),
                "difference": differences.mean(),
                "difference" + LOW: low,
                "difference" + HIGH: high,
            }
        )
    return rows


def _draw(
    means: pd.DataFrame, directions: pd.Series, pairs: dict[str, str], seconds: pd.Series, roles: dict[str, str]
) -> Figure:
    """Draw a panel for each task, with the lines of pairs in colours and other evaluators in grey."""
    random = statistics.random_row(roles)
    others = [name for name in means.index if name not in {*pairs, *pairs.values(), *roles}]
    looks = styles_beside(others, [*pairs, *others])
    figure, axes = panels(list(means.columns), columns=2, height=3.2)
    for task, axis in axes.items():
        for name in [*pairs, *others]:
            labels = [label for label in (name, pairs.get(name)) if label is not None]
            known = pd.DataFrame({"x": seconds.reindex(labels), "y": means[task].reindex(labels)}).dropna()
            look = looks[name] | ({} if name in pairs else {"ls": ""})
            axis.plot(known["x"], known["y"], marker="o", ms=3, lw=1.2, label=name, **look)
        if random is not None:
            axis.axhline(float(means[task][random]), color="0.5", lw=0.8, ls=":")
        axis.set_xscale("log")
        plain_ticks(axis.xaxis)
        axis.set_xlabel("seconds of a valuation", fontsize=8)
        axis.set_ylabel(f"score ({'up' if directions[task] else 'down'} is better)", fontsize=8)
    name_lines(figure, axes)
    return figure


EXHIBITS = (ExhibitMaker(budgets, tasks=(), position=62),)
