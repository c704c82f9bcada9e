"""Accuracy after training on chosen points, as in Tables 2 and 3 of the CHG Shapley paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Result
from leaderboard.drawing import draw_line, name_lines, panels, styles_beside
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults, mean_lines, metric_table
from leaderboard.intervals import IN_TABLE

TASK = "selection_accuracy"
DRAWN = {"accuracy": "test accuracy", "mislabelled": "share of mislabelled points"}
HIGHLIGHTED = 5  # strategies of a panel
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
        figures[f"-{dataset}"] = draw_problems(part, problems, "accuracy")
        if mislabelled := [problem for problem in problems if problem in noisy]:
            figures[f"-{dataset}-mislabelled"] = draw_problems(part, mislabelled, "mislabelled")
    caption = (
        "Models are trained on a fraction of the points only, which a strategy chooses anew every few epochs. Curves "
        "are means over seeds. Coloured, with bands from the lowest to the highest seed: in each panel the "
        f"{HIGHLIGHTED} strategies with the highest mean accuracy over the range of fractions. Black and grey dashes: "
        "what they are compared with. Thin grey: the others, which the table names."
    )
    of_table = (
        f"{IN_TABLE} area is the mean accuracy over the range of fractions, full that of training on all points. "
        "relative_seconds is the time to train, with selection and without evaluation, relative to training on all "
        "points: means over seeds."
    )
    return [Exhibit(TASK, "Accuracy over the fraction of points kept", caption, table, figures, data, of_table)]


def draw_problems(data: pd.DataFrame, problems: list[str], line: str) -> Figure:
    """Draw a panel for each problem, of the accuracies or of the shares of mislabelled points."""
    figure, axes = panels(problems, height=2.9)
    best = {problem: _best(data[data["problem"] == problem]) for problem in problems}
    looks = styles_beside(REFERENCES, [*REFERENCES, *(name for names in best.values() for name in names)])
    for problem, axis in axes.items():
        part = data[(data["problem"] == problem) & (data["line"] == line)]
        for evaluator, points in part.groupby("evaluator", sort=False):
            if evaluator in best[problem] or evaluator in REFERENCES:
                draw_line(axis, points, str(evaluator), marker=".", ms=4, lw=1.2, **looks[str(evaluator)])
            else:
                axis.plot(points["x"], points["y"], color="0.82", lw=0.8, zorder=1)
        axis.set_xlabel("fraction of points kept", fontsize=8)
        axis.set_ylabel(DRAWN[line], fontsize=8)
    name_lines(figure, axes)
    return figure


def _best(data: pd.DataFrame) -> list[str]:
    """Strategies with the highest mean accuracy over the range of fractions, the best first."""
    accuracies = data[(data["line"] == "accuracy") & ~data["evaluator"].isin(REFERENCES)]
    areas = {str(name): np.trapezoid(part["y"], part["x"]) for name, part in accuracies.groupby("evaluator")}
    return sorted(areas, key=lambda name: -areas[name])[:HIGHLIGHTED]


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
