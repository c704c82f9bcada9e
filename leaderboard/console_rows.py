"""The table of a suite for a terminal, which is narrow."""

from __future__ import annotations

import math

from leaderboard import statistics
from leaderboard.statistics import records
from leaderboard.suite_scores import SuiteScores
from leaderboard.tables import COUNTS, arrow, rank_interval
from leaderboard.text import clean

CONSOLE_IN_WORDS = (
    "Means over problems and seeds (*: over some of them). rank: the ranks that the data leave possible, over "
    "problems, tasks and seeds, where missing and failed scores count as last; reference rows and one evaluator alone "
    "have none. sec: seconds of a valuation."
)


def rows_for_console(suite: SuiteScores) -> tuple[list[str], list[list[str]]]:
    """Make one narrow table of a suite for a terminal; the last rows are reference rows, without a rank.

    Returns
    -------
    headers : list of str
        Evaluator, rank (an interval), each task with an arrow, mean seconds of a valuation; also failed, missing and
        declined, if there are any.
    rows : list of list of str
        One string per header, best evaluator first. The entry of a task is the mean of its headline metric over
        problems and seeds; ``*`` marks a mean over some of them. The texts are plain and untrusted: escape them.
    """
    scores, seconds = suite.scores, statistics.seconds(statistics.cost(suite.cells))
    headers, means = ["evaluator", "rank"], []
    for task, group in scores.groupby("task", sort=False):
        up = arrow(bool(group["higher_is_better"].iloc[0]))
        headers.append(f"{clean(str(task))} {up}".replace("_", " "))
        by_evaluator = group.groupby("evaluator")["value"].agg(["mean", "count", "size"])
        means.append(
            {
                name: f"{row['mean']:.2f}{'' if row['count'] == row['size'] else '*'}" if row["count"] else "-"
                for name, row in by_evaluator.iterrows()
            }
        )
    overall = statistics.overall(scores, suite.roles)
    counts = [count for count in COUNTS[1:] if overall[count].any()]
    rows = [
        [
            row["evaluator"],
            rank_interval(row),
            *(column.get(row["evaluator"], "") for column in means),
            "" if math.isnan(seconds[row["evaluator"]]) else f"{seconds[row['evaluator']]:.1f}",
            *(str(row[count]) for count in counts),
        ]
        for row in records(overall)
    ]
    return [*headers, "sec", *(count.removeprefix("n_") for count in counts)], rows
