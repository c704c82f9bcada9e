"""What a larger budget changes: the scores of the same evaluator with two of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from leaderboard import statistics
from leaderboard.intervals import interval
from leaderboard.suite_scores import SuiteScores

LARGER = re.compile(r"(.+)-\d+s")  # the label of NAME with another number of seconds


def budget_pairs(evaluators: Sequence[str]) -> dict[str, str]:
    """Return the evaluators with two budgets: the label with the larger one by that with the smaller one."""
    matches = {match.group(1): name for name in evaluators if (match := LARGER.fullmatch(name))}
    return {name: matches[name] for name in evaluators if name in matches}


def budget_differences(suite: SuiteScores) -> pd.DataFrame:
    """Compare the evaluators of a suite that have two budgets with themselves.

    Returns
    -------
    pandas.DataFrame
        One row per task and pair: ``task``, ``higher_is_better``, ``evaluator`` (that with the smaller budget),
        ``problems``, ``seconds`` and ``seconds_larger`` (over all problems), and over the problems where both have
        scores: the means ``score`` and ``score_larger``, and ``difference``, the mean of their differences, with its
        Student-t interval over problems, ``low`` and ``high``.
    """
    summary = statistics.summary(suite.scores, suite.roles)
    seconds = statistics.seconds(statistics.cost(suite.cells))
    rows = []
    for task, of_task in summary.groupby("task", sort=False):
        scores = of_task.pivot(index="problem", columns="evaluator", values="mean")
        for smaller, larger in budget_pairs(list(suite.cells["evaluator"].unique())).items():
            both = scores.reindex(columns=[smaller, larger]).dropna()
            differences = both[larger] - both[smaller]
            low, high = interval(differences.tolist())
            rows.append(
                {
                    "task": task,
                    "higher_is_better": bool(of_task["higher_is_better"].iloc[0]),
                    "evaluator": smaller,
                    "problems": len(both),
                    "seconds": seconds.get(smaller),
                    "seconds_larger": seconds.get(larger),
                    "score": both[smaller].mean(),
                    "score_larger": both[larger].mean(),
                    "difference": differences.mean(),
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)
