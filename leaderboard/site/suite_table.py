"""The table of a suite: one row for each method with its score in every task, and reference rows set apart."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from dvbench.results import MARKS
from leaderboard import statistics
from leaderboard.goals import task_means
from leaderboard.reference_models import FULL, MODELS, model_scores
from leaderboard.statistics import SuiteStatistics, records
from leaderboard.suite_scores import SuiteScores, weakest
from leaderboard.tables import Entry, arrow, gaps, marks, number, rank_interval
from leaderboard.text import clean


def suite_table(suite: SuiteScores, numbers: SuiteStatistics) -> dict[str, Any]:
    """Collect the columns and the rows of the table.

    Returns
    -------
    dict
        ``columns``: the tasks, each with the name and the direction of its metric. ``rows``: what is ranked, best
        first, and ``reference_rows``: what is not, then the models in `MODELS`, which have no page. The ``scores`` of a
        row have a number and a text for each task: means over seeds, then over problems. ``doing_nothing``: for each
        task in which the full model is better than most methods, a sentence that says so.
    """
    columns = list(_columns(suite.scores))
    means = task_means(numbers.summary, "mean")
    seconds, weakest_marks = statistics.seconds(numbers.cost), marks(suite.cells)
    more = verified_better(suite.cells)
    mean_gaps = gaps(suite, with_worst=False)  # the page of an evaluator has the gaps of all problems and tasks
    ranking = numbers.ranking
    last = max(int((ranking["role"] == "").sum()) - 1, 1)

    def percent(rank: float) -> float:
        """Position of a rank on the drawn interval, from 0 for the first to 100 for the last rank."""
        return round(100 * (rank - 1) / last, 1)

    rows = [
        {
            **row,
            "page": True,
            "interval": rank_interval(row),
            "percents": []
            if math.isnan(row["first"])
            else [percent(row[name]) for name in ("first", "mean_rank", "last")],
            "lacking": row["n_failed"] + row["n_missing"],
            "seconds": seconds[row["evaluator"]],
            "mark": weakest_marks.get(row["evaluator"], ""),
            "checked_more": more.get(row["evaluator"], ""),
            "gap": mean_gaps.get(row["evaluator"], Entry("")),
            "scores": _entries(means.T[row["evaluator"]], columns),
        }
        for row in records(ranking)
    ]
    ranked, models = [row for row in rows if not row["role"]], _models(suite.scores, columns)
    return {
        "columns": columns,
        "rows": ranked,
        "reference_rows": [row for row in rows if row["role"]] + models,
        "doing_nothing": list(_doing_nothing(columns, ranked, models)),
    }


def verified_better(cells: pd.DataFrame) -> dict[str, str]:
    """Say how many cells of each evaluator have a better mark than its weakest, such as "5 of 10 re-run"."""
    said = {}
    for name, marks_of_cells in cells[cells["status"] == "ok"].groupby("evaluator")["mark"]:
        counts = marks_of_cells.value_counts()
        better = [mark for mark in reversed(MARKS) if mark in counts and mark != weakest(marks_of_cells)]
        said[str(name)] = ", ".join(f"{counts[mark]} of {len(marks_of_cells)} {mark}" for mark in better)
    return said


def _columns(scores: pd.DataFrame) -> Iterable[dict[str, Any]]:
    for row in records(scores[scores["metric"] != ""].drop_duplicates("task")):
        metric, up = clean(row["metric"]), bool(row["higher_is_better"])
        yield {
            "task": row["task"],
            "title": clean(row["task"]).replace("_", " "),
            "metric": f"{metric} {arrow(up)}".replace("_", " "),
            "up": up,
        }


def _doing_nothing(
    columns: list[dict[str, Any]], ranked: list[dict[str, Any]], models: list[dict[str, Any]]
) -> Iterable[str]:
    for full in (model for model in models if model["evaluator"] == FULL):
        for i, column in enumerate(columns):
            sign, threshold = 1 if column["up"] else -1, full["scores"][i][0]
            gains = [sign * (row["scores"][i][0] - threshold) for row in ranked if math.isfinite(row["scores"][i][0])]
            worse = sum(gain < 0 for gain in gains)
            if 2 * worse > len(gains):
                yield (
                    f"By {column['title']}, the full model, which has unlearned nothing, is nearer to the retrained "
                    f"models than {worse} of {len(gains)} methods."
                )


def _entries(means: pd.Series, columns: list[dict[str, Any]]) -> list[tuple[float, str]]:
    values = [float(means.get(column["task"], math.nan)) for column in columns]
    return [(value, number(value)) for value in values]


def _models(scores: pd.DataFrame, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the rows of the retrained and the full model, of a suite of unlearning methods."""
    known = model_scores(scores)
    if known.empty:
        return []
    by_problem = known.groupby(["model", "task", "problem"])["value"].mean()
    means = by_problem.groupby(level=[0, 1]).mean().unstack()
    return [
        {"evaluator": model, "role": words, "page": False, "scores": _entries(means.T[model], columns)}
        for model, words in MODELS.items()
        if model in means.index
    ]
