"""What an exhibit is: a table and figures of a paper, made from results.

A file in ``leaderboard/exhibits`` holds the functions that make exhibits and declares them in ``EXHIBITS``::

    EXHIBITS = (ExhibitMaker(partial_valuation, tasks=("partial_agreement",), position=20),)

The function gets the results of a suite, and the declared tasks that these have a score of. Exhibits need no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Cell, Result, Score, Store
from leaderboard.intervals import interval, metric_range
from leaderboard.plans import merged_plan
from leaderboard.published import published
from leaderboard.statistics import seed_ranks
from leaderboard.suite_scores import SuiteScores

LOW, HIGH = "_ci_low", "_ci_high"  # suffixes of the columns with the ends of a mean's interval
COUNT = "_n"  # suffix of the column with the number of seeds of a mean
MEDIAN = "_median"  # suffix of a column with medians; all other columns of metrics are means


@dataclass(frozen=True)
class Exhibit:
    """One table, and the figures that show it.

    Parameters
    ----------
    name : str
        The name of its files.
    title, caption : str
        Of the figures, or of the table if there are none.
    table : pandas.DataFrame
        One row per problem and evaluator; published numbers have rows of their own.
    figures : dict of str to matplotlib.figure.Figure
        By the suffix of their files: the file of a figure is named ``name`` + suffix.
    table_caption : str
        Of the table, if there are figures.
    data : pandas.DataFrame, optional
        The lines of the figures, if the table does not contain them: problem, evaluator, line, x, y and the number of
        seeds of y, or the seed.
    """

    name: str
    title: str
    caption: str
    table: pd.DataFrame
    figures: dict[str, Figure] = field(default_factory=dict)
    data: pd.DataFrame | None = None
    table_caption: str = ""


@dataclass(frozen=True)
class SuiteResults:
    """The results of a suite that exhibits are made from.

    Parameters
    ----------
    scores : SuiteScores
    cells : list of (Cell, Result or None)
        Planned cells with their results; None if the valuation failed, is missing or has other settings than planned.
        Results contain only the scores that are ok.
    """

    scores: SuiteScores
    cells: list[tuple[Cell, Result | None]]

    @property
    def tasks(self) -> list[str]:
        """The tasks that any result has a score of, in the order in which they occur."""
        return list(dict.fromkeys(task for _, result in self.cells if result is not None for task in result.scores))

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each problem, such as ``"classification"``; empty where no result says it."""
        return dict(zip(self.scores.cells["problem"], self.scores.cells["problem_kind"], strict=True))

    def scores_of(self, task: str) -> Iterator[tuple[Cell, Score]]:
        """Yield the cells that have a score of a task."""
        for cell, result in self.cells:
            if result is not None and task in result.scores:
                yield cell, result.scores[task]


@dataclass(frozen=True)
class ExhibitMaker:
    """Declares a function that makes exhibits, and the tasks that it draws.

    Parameters
    ----------
    make : callable
        Called with the results and the tasks to draw.
    tasks : tuple of str, optional
        The function is called if the results have a score of one of these tasks. An empty tuple means that it is always
        called, None that it gets all tasks that no exhibit declares.
    position : int
        Exhibits are shown in the order of their positions.
    """

    make: Callable[[SuiteResults, Sequence[str]], list[Exhibit]]
    tasks: tuple[str, ...] | None
    position: int


def suite_results(store: Store, scores: SuiteScores) -> SuiteResults:
    """Read the results of a suite.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    ok = scores.scores[scores.scores["status"] == "ok"]
    tasks: dict[tuple[str, str, int], set[str]] = {}
    for problem, evaluator, seed, task in zip(ok["problem"], ok["evaluator"], ok["seed"], ok["task"], strict=True):
        tasks.setdefault((problem, evaluator, seed), set()).add(task)
    valued_cells = scores.cells[scores.cells["status"] == "ok"]
    valued = set(zip(valued_cells["problem"], valued_cells["evaluator"], valued_cells["seed"], strict=True))
    cells: list[tuple[Cell, Result | None]] = []
    for cell in merged_plan(store, scores.name).cells:
        key = (cell.key.problem, cell.key.evaluator, cell.key.seed)
        result = store.read(cell.key) if key in valued else None
        if result is not None:
            kept = {task: score for task, score in result.scores.items() if task in tasks.get(key, ())}
            result = result.model_copy(update={"scores": kept})
        cells.append((cell, result))
    return SuiteResults(scores, cells)


def metric_table(
    results: SuiteResults, tasks: Sequence[str], names: Sequence[str] = (), medians: Sequence[str] = ()
) -> pd.DataFrame:
    """Tabulate metrics of tasks by problem and evaluator.

    Parameters
    ----------
    results : SuiteResults
    tasks : sequence of str
        Tasks that have no metric in common.
    names : sequence of str
        Metrics of which the mean over seeds is shown, with its interval and number of seeds; all metrics if it is
        empty.
    medians : sequence of str
        Metrics of which the median over seeds is shown, in a column that is named so.

    Returns
    -------
    pandas.DataFrame
        One row per planned problem and evaluator; ``seeds`` of the ``planned`` seeds have a score of at least one task.
    """
    values: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = {}
    for task in tasks:
        for cell, score in results.scores_of(task):
            metrics = values.setdefault((cell.key.problem, cell.key.evaluator), {})
            for name, value in score.metrics.items():
                metrics.setdefault((task, name), []).append(value)
    of_task = {name: task for metrics in values.values() for task, name in metrics}
    planned = Counter(
        (cell.key.problem, cell.key.evaluator) for cell, _ in results.cells if {*tasks}.intersection(cell.tasks)
    )
    rows = []
    for (problem, evaluator), count in planned.items():
        metrics = values.get((problem, evaluator), {})
        row: dict[str, Any] = {"problem": problem, "evaluator": evaluator, "source": ""}
        row |= {"seeds": max(map(len, metrics.values()), default=0), "planned": count}
        for name in names or of_task:
            numbers, task = metrics.get((of_task.get(name, ""), name), []), of_task.get(name, "")
            low, high = interval(numbers, metric_range(task, name, results.kinds[problem]))
            row |= {name: _mean(numbers), name + LOW: low, name + HIGH: high, name + COUNT: len(numbers)}
        for name in medians:
            numbers = metrics.get((of_task.get(name, ""), name), [])
            row[name + MEDIAN] = np.median(numbers) if numbers else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if numbers else np.nan


def mean_lines(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Average the lines of a figure over seeds.

    Parameters
    ----------
    rows : sequence of dict
        The points of the lines of each seed, in order: problem, evaluator, seed, line, x and y.

    Returns
    -------
    pandas.DataFrame
        ``y`` by problem, evaluator, line and ``x``, its lowest and highest value over seeds, and ``seeds``: the number
        of seeds in the mean. Only seeds with the same x as the first seed of the line are averaged, so that all points
        of a line are means over the same seeds.
    """
    keys = ["problem", "evaluator", "line"]
    points: dict[tuple[str, ...], dict[int, tuple[list[float], list[float]]]] = {}
    for row in rows:
        seeds = points.setdefault(tuple(row[key] for key in keys), {})
        x, y = seeds.setdefault(row["seed"], ([], []))
        x.append(row["x"])
        y.append(row["y"])
    averaged = []
    for line, seeds in points.items():
        first = next(iter(seeds.values()))[0]
        same = [y for x, y in seeds.values() if x == first]
        points_of_line = zip(first, *(of(same, axis=0) for of in (np.mean, np.min, np.max)), strict=True)
        averaged += [
            dict(zip(keys, line, strict=True)) | {"x": x, "y": y, "lowest": low, "highest": high, "seeds": len(same)}
            for x, y, low, high in points_of_line
        ]
    return pd.DataFrame(averaged)


def published_name(cell: Cell) -> str:
    """Return the data set by which ``published.toml`` names the numbers of a cell; all corpora have one name there."""
    problem = cell.problem
    return "text_corpus" if problem.groups is not None and problem.groups.by == "corpora" else str(problem.dataset)


def published_numbers(results: SuiteResults, exhibit: str) -> dict[str, str]:
    """Return the problems for which a paper has numbers, those without noise, and the name of their data set there."""
    known = published()[exhibit].numbers
    names = {cell.key.problem: published_name(cell) for cell, _ in results.cells if cell.problem.noise.kind == "none"}
    return {problem: name for problem, name in names.items() if name in known}


def published_in_words(results: SuiteResults, exhibit: str) -> str:
    """Say from which measurements the published numbers of these problems are; empty if there are none."""
    return published()[exhibit].in_words(published_numbers(results, exhibit).values())


def with_published(table: pd.DataFrame, results: SuiteResults, exhibit: str) -> pd.DataFrame:
    """Add the published numbers of the data set of each problem without noise, as rows after those of the problem."""
    paper = published()[exhibit]
    problems = list(dict.fromkeys(cell.key.problem for cell, _ in results.cells))
    rows = [
        {"problem": problem, "evaluator": paper.evaluator, "source": paper.source, **paper.numbers[name]}
        for problem, name in published_numbers(results, exhibit).items()
    ]
    both = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    return both.sort_values("problem", kind="stable", key=lambda names: names.map(problems.index))


def best_first(results: SuiteResults, task: str, problem: str, evaluators: list[str]) -> list[str]:
    """Return the evaluators of a problem in the order of their mean ranks in a task, reference rows last."""
    scores = results.scores.scores
    ranks = seed_ranks(scores, results.scores.roles)[(scores["task"] == task) & (scores["problem"] == problem)]
    means = ranks.groupby(scores["evaluator"]).mean().fillna(float("inf"))
    return sorted(evaluators, key=lambda name: means.get(name, float("inf")))
