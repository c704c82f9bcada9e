"""Accuracy after training on chosen points, as in Tables 2 and 3 of the CHG Shapley paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Result
from leaderboard.drawing import draw_line, name_lines, panels, styles_beside
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults, mean_lines, metric_table
from leaderboard.intervals import IN_WORDS

TASK = "selection_accuracy"
DRAWN = {"accuracy": "test accuracy", "mislabelled": "share of mislabelled points"}
SECONDS = "relative_seconds_"  # a diagnostic for each fraction
REFERENCES = ("full", "random", "adaptive_random")  # grey: what others are compared with


def selection(results: SuiteResults, tasks: Sequence[str]) -> list[Exhibit]:
    """Tabulate and draw accuracies of selection strategies, one figure a data set, one panel a problem."""
    data = mean_lines(
        [
            cell.key.model_dump(include={"problem", "evaluator", "seed"}) | {"line": line, "x": x, "y": y}
            for cell, score in results.scores_of(TASK)
            for line in DRAWN
            for x, y in zip(score.curves["fraction"], score.curves[line], strict=True)
        ]
    )
    table = metric_table(results, [TASK]).merge(_seconds(results), on=["problem", "evaluator"], how="left")
    noisy = data.loc[(data["line"] == "mislabelled") & (data["y"] > 0), "problem"].unique()
    datasets = {cell.key.problem: cell.problem.dataset.name for cell, _ in results.cells}
    figures = {}
    for dataset, part in data.groupby(data["problem"].map(datasets), sort=False):
        problems = list(part["problem"].unique())
        figures[f"-{dataset}"] = _draw(part, problems, "accuracy")
        if mislabelled := [problem for problem in problems if problem in noisy]:
            figures[f"-{dataset}-mislabelled"] = _draw(part, mislabelled, "mislabelled")
    caption = (
        "Models are trained on a fraction of the points only, which a strategy chooses anew every few epochs. Curves "
        "are means over seeds, and bands reach from the lowest to the highest seed; in the table, means over seeds, "
        f"each with {IN_WORDS}. area is the mean accuracy over "
        "the range of fractions, full the accuracy of training on all points. relative_seconds is the time to train, "
        "with selection and without evaluation, relative to training on all points: means over seeds."
    )
    return [Exhibit(TASK, "Accuracy over the fraction of points kept", caption, table, figures, data)]


def _draw(data: pd.DataFrame, problems: list[str], line: str) -> Figure:
    figure, axes = panels(problems, height=2.9)
    looks = styles_beside(REFERENCES, data["evaluator"])
    for problem, axis in axes.items():
        part = data[(data["problem"] == problem) & (data["line"] == line)]
        for evaluator, points in part.groupby("evaluator", sort=False):
            draw_line(axis, points, str(evaluator), marker=".", ms=4, lw=1.2, **looks[str(evaluator)])
        axis.set_xlabel("fraction of points kept", fontsize=8)
        axis.set_ylabel(DRAWN[line], fontsize=8)
    name_lines(figure, axes)
    return figure


def _seconds(results: SuiteResults) -> pd.DataFrame:
    """Mean seconds over seeds, relative to training on all points, by problem and evaluator."""
    numbers: dict[tuple[str, str], dict[str, list[float]]] = {}
    for cell, result in results.cells:
        for name, value in _of_fractions(result).items():
            of_cell = numbers.setdefault((cell.key.problem, cell.key.evaluator), {})
            of_cell.setdefault(name, []).append(value)
    rows = [
        {"problem": problem, "evaluator": evaluator} | {name: float(np.mean(values)) for name, values in each.items()}
        for (problem, evaluator), each in numbers.items()
    ]
    return pd.DataFrame(rows, columns=None if rows else ["problem", "evaluator"])


def _of_fractions(result: Result | None) -> dict[str, float]:
    diagnostics = {} if result is None else result.diagnostics
    return {name: value for name, value in diagnostics.items() if name.startswith(SECONDS)}


EXHIBITS = (ExhibitMaker(selection, tasks=(TASK,), position=45),)
