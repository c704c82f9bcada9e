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
from leaderboard import statistics
from leaderboard.plans import merged_plan
from leaderboard.published import published
from leaderboard.suite_scores import SuiteScores

LOW, HIGH = "_ci_low", "_ci_high"  # suffixes of the columns with the ends of a column's interval


@dataclass(frozen=True)
class Exhibit:
    """One table, and the figures that show it.

    Parameters
    ----------
    name : str
        The name of its files.
    title, caption : str
    table : pandas.DataFrame
        One row per problem and evaluator; published numbers have rows of their own.
    figures : dict of str to matplotlib.figure.Figure
        By the suffix of their files: the file of a figure is named ``name`` + suffix.
    data : pandas.DataFrame, optional
        The lines of the figures, if the table does not contain them: problem, evaluator, line, x and y.
    """

    name: str
    title: str
    caption: str
    table: pd.DataFrame
    figures: dict[str, Figure] = field(default_factory=dict)
    data: pd.DataFrame | None = None


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
    names : sequence of str
        Metrics of which the mean over seeds is shown, with its bootstrap interval; all metrics if it is empty.
    medians : sequence of str
        Metrics of which the median over seeds is shown.

    Returns
    -------
    pandas.DataFrame
        One row per planned problem and evaluator; ``seeds`` of the ``planned`` seeds have a score.
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    planned = Counter(
        (cell.key.problem, cell.key.evaluator) for cell, _ in results.cells if {*tasks}.intersection(cell.tasks)
    )
    for task in tasks:
        for cell, score in results.scores_of(task):
            metrics = values.setdefault((cell.key.problem, cell.key.evaluator), {})
            for name, value in score.metrics.items():
                metrics.setdefault(name, []).append(value)
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


def mean_lines(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Average the lines of a figure over seeds: ``y`` by problem, evaluator, line and ``x``."""
    keys = ["problem", "evaluator", "line", "x"]
    return pd.DataFrame(rows).groupby(keys, sort=False)["y"].mean().reset_index()


def published_name(cell: Cell) -> str:
    """Return the data set by which ``published.toml`` names the numbers of a cell; all corpora have one name there."""
    problem = cell.problem
    return "text_corpus" if problem.groups is not None and problem.groups.by == "corpora" else str(problem.dataset)


def with_published(table: pd.DataFrame, results: SuiteResults, exhibit: str) -> pd.DataFrame:
    """Add the published numbers of the data set of each problem without noise, as rows after those of the problem."""
    paper = published()[exhibit]
    cells = [cell for cell, _ in results.cells]
    problems = list(dict.fromkeys(cell.key.problem for cell in cells))
    datasets = {cell.key.problem: published_name(cell) for cell in cells if cell.problem.noise.kind == "none"}
    rows = [
        {"problem": problem, "evaluator": paper.evaluator, "source": paper.source, **paper.numbers[dataset]}
        for problem, dataset in datasets.items()
        if dataset in paper.numbers
    ]
    both = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    return both.sort_values("problem", kind="stable", key=lambda names: names.map(problems.index))
