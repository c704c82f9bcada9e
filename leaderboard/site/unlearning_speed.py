"""How long training takes beside unlearning, for suites of unlearning methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from leaderboard.published import published
from leaderboard.site.rounding import short
from leaderboard.statistics import records
from leaderboard.suite_scores import SuiteScores
from leaderboard.tables import number

MEASURED = ["train_seconds", "unlearn_seconds"]


def unlearning_speed(suite: SuiteScores) -> dict[str, Any]:
    """Compare the seconds of training with those of unlearning all players at once.

    Returns
    -------
    dict
        ``rows``: one for each data set, number of points, model and method, means over seeds, and one for each
        published measurement with the same data set. ``ratio`` is the quotient of the means. ``lines``: the rows of one
        data set, model and method where there are several sizes, for a chart. ``sentences`` say what these show.
        ``remark`` says what the published numbers are of. Nothing in them if no cell has both seconds.
    """
    cells = suite.cells[(suite.cells["status"] == "ok") & suite.cells[MEASURED].notna().all(axis=1)]
    if cells.empty:
        return {"rows": [], "lines": [], "sentences": [], "remark": ""}
    keys = ["dataset", "model", "train", "evaluator"]
    groups = cells.groupby(keys, sort=False)
    table = groups[MEASURED].mean().assign(seeds=groups.size()).reset_index()
    lines = list(_lines(table.assign(ratio=table["train_seconds"] / table["unlearn_seconds"])))
    paper = published()["efficiency"]
    reported = {name: paper.numbers[name] for name in table["dataset"].unique() if name in paper.numbers}
    theirs = [
        {"dataset": name, "model": "", "train": numbers["points"], "evaluator": paper.evaluator, "source": paper.source}
        | {name: numbers[name] for name in MEASURED}
        for name, numbers in reported.items()
    ]
    rows = [
        {"source": ""} | row | {"ratio": row["train_seconds"] / row["unlearn_seconds"]}
        for row in records(table) + theirs
    ]
    order = list(table["dataset"].unique())
    rows.sort(key=lambda row: (order.index(row["dataset"]), bool(row["source"]), row["train"]))
    lines += [
        {
            "name": f"{row['dataset']}, published",
            "dataset": row["dataset"],
            "points": [row["train"]],
            "ratios": [short(row["ratio"])],
        }
        for row in rows
        if lines and row["source"]
    ]
    return {
        "rows": rows,
        "lines": lines,
        "sentences": [_sentence(line) for line in lines if len(line["points"]) > 1],
        "remark": paper.in_words(reported),
    }


def _lines(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the ratios by size of each data set, model and method that has several sizes."""
    for (dataset, model, evaluator), rows in table.groupby(["dataset", "model", "evaluator"], sort=False):
        if len(rows) > 1:
            by_size = rows.sort_values("train")
            yield {
                "name": f"{dataset}, {model}, {evaluator}",
                "dataset": dataset,
                "points": [int(points) for points in by_size["train"]],
                "ratios": [short(ratio) for ratio in by_size["ratio"]],
            }


def _sentence(line: dict[str, Any]) -> str:
    ends = [(line["points"][end], number(line["ratios"][end], 1)) for end in (0, -1)]
    (fewest, low), (most, high) = ends
    return (
        f"{line['name']}: training on {most:,} points takes {high} times as long as unlearning all of them; on "
        f"{fewest:,} points, {low} times."
    )
