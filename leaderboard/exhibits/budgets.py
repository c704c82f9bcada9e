"""What a larger budget buys: scores of the same evaluator with two of them, against seconds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from leaderboard import statistics
from leaderboard.budgets import budget_differences, budget_pairs
from leaderboard.drawing import name_lines, panels, plain_ticks, styles_beside
from leaderboard.exhibit import HIGH, LOW, Exhibit, ExhibitMaker, SuiteResults
from leaderboard.goals import task_means
from leaderboard.suite_scores import SuiteScores

CAPTION = (
    "An evaluator named NAME-20s is NAME with a budget of about 20 seconds. Lines go from the smaller budget to the "
    "larger one: scores are means over seeds, then over problems, and seconds of a valuation medians over seeds. "
    "A black or grey point is an evaluator with one budget, whose score a dotted line continues; the grey line across "
    "a panel is random values. The difference is the score with the larger budget minus that with the smaller one: a "
    "mean over problems with a 95% Student-t interval. "
    "Each interval holds for its evaluator and task alone: of twenty, one may miss zero by chance."
)


def budgets(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Compare evaluators with themselves where a suite has them with two budgets."""
    suite = results.scores
    pairs = budget_pairs(list(suite.cells["evaluator"].unique()))
    if not pairs:
        return []
    table = budget_differences(suite).rename(columns={"low": "difference" + LOW, "high": "difference" + HIGH})
    return [Exhibit("budgets", "What a larger budget buys", CAPTION, table, {"": _draw(suite, pairs)})]


def _draw(suite: SuiteScores, pairs: dict[str, str]) -> Figure:
    """Draw a panel for each task, with the lines of pairs in colours and other evaluators in grey."""
    summary = statistics.summary(suite.scores, suite.roles)
    directions = summary.drop_duplicates("task").set_index("task")["higher_is_better"]
    means, seconds = task_means(summary, "mean"), statistics.seconds(statistics.cost(suite.cells))
    random = statistics.random_row(suite.roles)
    others = [name for name in means.index if name not in {*pairs, *pairs.values(), *suite.roles}]
    looks = styles_beside(others, [*pairs, *others])
    longest = seconds.reindex([*pairs.values()]).max()
    figure, axes = panels(list(means.columns), columns=2, height=3)
    for task, axis in axes.items():
        for name in [*pairs, *others]:
            labels = [label for label in (name, pairs.get(name)) if label is not None]
            known = pd.DataFrame({"x": seconds.reindex(labels), "y": means[task].reindex(labels)}).dropna()
            look = looks[name]
            if name in others and len(known):  # a level to compare with, to the right of its point
                known = pd.concat([known, known.assign(x=longest)])
                look = look | {"ls": (0, (1, 3)), "markevery": [0]}
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
