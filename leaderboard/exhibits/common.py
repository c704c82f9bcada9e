"""What an exhibit is, and the table of a task's metrics that most of them show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Cell, Result, Score, Store
from leaderboard import statistics
from leaderboard.index import whole_plan
from leaderboard.published import published
from leaderboard.suite_scores import SuiteScores

LOW, HIGH = "_ci_low", "_ci_high"  # ends of the interval of the column that is named before
Found = list[tuple[Cell, Result | None]]


@dataclass(frozen=True)
class Exhibit:
    """One table, and the figures that show it.

    Parameters
    ----------
    name : str
        Of its files.
    title, caption : str
    table : pandas.DataFrame
        One row per problem and evaluator; published numbers are rows of their own.
    figures : dict of str to matplotlib.figure.Figure
        By what the exhibit's name is followed by in theirs; the figure of an exhibit that has one has ``""``.
    data : pandas.DataFrame, optional
        What figures draw, where the table does not say it: problem, evaluator, line, x and y.
    """

    name: str
    title: str
    caption: str
    table: pd.DataFrame
    figures: dict[str, Figure] = field(default_factory=dict)
    data: pd.DataFrame | None = None


def found_results(store: Store, stand: SuiteScores) -> Found:
    """Planned cells with their results, None for one that failed, is missing or is of other settings than planned.

    Results have the scores that are ok in `stand`.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    ok = stand.scores[stand.scores["status"] == "ok"]
    kept: dict[tuple[str, str, int], set[str]] = {}
    for problem, evaluator, seed, task in zip(ok["problem"], ok["evaluator"], ok["seed"], ok["task"], strict=True):
        kept.setdefault((problem, evaluator, seed), set()).add(task)
    there = stand.cells[stand.cells["status"] == "ok"]
    valued = set(zip(there["problem"], there["evaluator"], there["seed"], strict=True))
    found: Found = []
    for cell in whole_plan(store, stand.suite).cells:
        place = (cell.key.problem, cell.key.evaluator, cell.key.seed)
        result = store.read(cell.key) if place in valued else None
        if result is not None:
            scores = {task: score for task, score in result.scores.items() if task in kept.get(place, ())}
            result = result.model_copy(update={"scores": scores})
        found.append((cell, result))
    return found


def metric_table(
    found: Found, tasks: Sequence[str], names: Sequence[str] = (), medians: Sequence[str] = ()
) -> pd.DataFrame:
    """Means of metrics over seeds with bootstrap intervals, and medians of others; all means where none is named.

    Every planned evaluator has a row, with how many ``seeds`` of those ``planned`` have a score.
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    planned = Counter((cell.key.problem, cell.key.evaluator) for cell, _ in found if {*tasks}.intersection(cell.tasks))
    for task in tasks:
        for cell, score in scored(found, task):
            here = values.setdefault((cell.key.problem, cell.key.evaluator), {})
            for name, value in score.metrics.items():
                here.setdefault(name, []).append(value)
    names = names or list(dict.fromkeys(name for metrics in values.values() for name in metrics))
    rows = []
    for (problem, evaluator), count in planned.items():
        metrics = values.get((problem, evaluator), {})
        row: dict[str, Any] = {"problem": problem, "evaluator": evaluator, "source": ""}
        row |= {"seeds": max(map(len, metrics.values()), default=0), "planned": count}
        for name in names:
            row[name] = np.mean(metrics[name]) if name in metrics else np.nan
            row[name + LOW], row[name + HIGH] = statistics.bootstrap(metrics.get(name, []))
        row |= {name: np.median(metrics[name]) if name in metrics else np.nan for name in medians}
        rows.append(row)
    return pd.DataFrame(rows)


def scored(found: Found, task: str) -> Iterator[tuple[Cell, Score]]:
    """Cells that have a score of a task."""
    for cell, result in found:
        if result is not None and task in result.scores:
            yield cell, result.scores[task]


def mean_lines(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Lines to draw, means over seeds: ``y`` by problem, evaluator, line and ``x``."""
    keys = ["problem", "evaluator", "line", "x"]
    return pd.DataFrame(rows).groupby(keys, sort=False)["y"].mean().reset_index()


def published_name(cell: Cell) -> str:
    """Under which name numbers are published for a cell's data set: those for texts are of one set of corpora."""
    problem = cell.problem
    return "text_corpus" if problem.groups is not None and problem.groups.by == "corpora" else str(problem.dataset)


def beside(table: pd.DataFrame, found: Found, exhibit: str) -> pd.DataFrame:
    """A table with the published numbers of each clean problem's data set as rows of their own."""
    told = published()[exhibit]
    problems = list(dict.fromkeys(cell.key.problem for cell, _ in found))
    datasets = {cell.key.problem: published_name(cell) for cell, _ in found if cell.problem.noise.kind == "none"}
    rows = [
        {"problem": problem, "evaluator": told.evaluator, "source": told.source, **told.numbers[dataset]}
        for problem, dataset in datasets.items()
        if dataset in told.numbers
    ]
    together = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    return together.sort_values("problem", kind="stable", key=lambda names: names.map(problems.index))
