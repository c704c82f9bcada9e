"""Curves of a task over another curve of it, such as accuracy over the fraction of players removed.

Every task with such curves is drawn, unless another exhibit declares it. Each problem has a figure with one panel per
evaluator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Score
from leaderboard.drawing import legend, panels, reference_styles, styles
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults, mean_lines, metric_table
from leaderboard.intervals import IN_WORDS
from leaderboard.text import clean
from leaderboard.wording import players


@dataclass(frozen=True)
class Labels:
    """Texts of the figures of a task; what is empty is made from the names of the task and its curves.

    Parameters
    ----------
    title, x, y : str
    lines : dict of str to str
        Label of each curve, in the order in which they are drawn; other curves follow.
    in_paper : bool
        Whether the Unlearning Shapley paper has figures of it: Figure 1 for points and Figure 2 for subsets.
    """

    title: str = ""
    x: str = ""
    y: str = ""
    lines: dict[str, str] = field(default_factory=dict)
    in_paper: bool = False


DETECTED = {"recall": "lowest values first", "optimal": "noisy players first", "random": "in random order"}
REMOVED = {"remove_high": "most valuable first", "remove_low": "least valuable first", "random": "in random order"}
ADDED = {"add_high": "most valuable first", "add_low": "least valuable first", "random": "in random order"}
INSPECTED = "fraction of players inspected"
LABELS = {
    "noisy_label_detection": Labels(
        "Noisy labels found", INSPECTED, "fraction of noisy players found", DETECTED, in_paper=True
    ),
    "noisy_feature_detection": Labels("Noisy features found", INSPECTED, "fraction of noisy players found", DETECTED),
    "point_removal": Labels(
        "Removal of players", "fraction of players removed", "test utility", REMOVED, in_paper=True
    ),
    "point_addition": Labels("Addition of players", "fraction of players added", "test utility", ADDED),
}
REFERENCE = "random"  # a curve that does not depend on the evaluator: grey and dashed


def curves(results: SuiteResults, tasks: Sequence[str]) -> list[Exhibit]:
    """Draw the curves of each task, means over seeds."""
    known_first = sorted(tasks, key=lambda task: list(LABELS).index(task) if task in LABELS else len(LABELS))
    return [exhibit for task in known_first for exhibit in _task_curves(results, task)]


def _task_curves(results: SuiteResults, task: str) -> list[Exhibit]:
    """Make one exhibit per curve that is the x axis of others."""
    axes = dict.fromkeys(axis for _, score in results.scores_of(task) for axis in _lines_by_axis(score))
    labels, made = LABELS.get(task, Labels()), []
    for number, axis in enumerate(axes, 1):
        data = mean_lines(
            [
                cell.key.model_dump(include={"problem", "evaluator", "seed"}) | {"line": line, "x": x, "y": y}
                for cell, score in results.scores_of(task)
                for line in _in_order(_lines_by_axis(score).get(axis, []), labels)
                for x, y in zip(score.curves[axis], score.curves[line], strict=True)
            ]
        )
        x_label = labels.x or _words(axis)
        figures = {f"-{problem}": _draw(part, labels, x_label) for problem, part in data.groupby("problem", sort=False)}
        caption = (
            f"Players: {players(results, [task])}. The curves are over the {x_label}, means over seeds. In the table, "
            f"means over seeds, each with {IN_WORDS}."
        )
        # Names of curves come from results, and are no part of a file's name.
        name = task if number == 1 else f"{task}-{number}"
        title = labels.title or f"{_words(task).capitalize()}, over {_words(axis)}"
        title += _figures_of_the_paper(results, task) if labels.in_paper else ""
        made.append(Exhibit(name, title, caption, metric_table(results, [task]), figures, data))
    return made


def _figures_of_the_paper(results: SuiteResults, task: str) -> str:
    """Name the figures of the paper with these players: those of classification have points or random subsets."""
    cells = [
        cell for cell, _ in results.cells if task in cell.tasks and results.kinds[cell.key.problem] == "classification"
    ]
    numbers = {1 if cell.problem.groups is None else 2 for cell in cells}
    words = {(1,): " (Figure 1)", (2,): " (Figure 2)", (1, 2): " (Figures 1 and 2)"}
    return words.get(tuple(sorted(numbers)), "")


def _lines_by_axis(score: Score) -> dict[str, list[str]]:
    """Group the curves of a score by the curve that is their x axis."""
    lines: dict[str, list[str]] = {}
    for line, axis in score.axes.items():
        if score.curves.get(axis):
            lines.setdefault(axis, []).append(line)
    return lines


def _in_order(lines: list[str], labels: Labels) -> list[str]:
    known = list(labels.lines)
    return sorted(lines, key=lambda line: known.index(line) if line in known else len(known))


def _draw(data: pd.DataFrame, labels: Labels, x_label: str) -> Figure:
    figure, axes = panels(list(data["evaluator"].unique()), columns=5, size=(1.9, 1.6), shared=True)
    lines = list(data["line"].unique())
    look = styles(line for line in lines if line != REFERENCE) | reference_styles([REFERENCE])
    for evaluator, axis in axes.items():
        for line in lines:
            part = data[(data["evaluator"] == evaluator) & (data["line"] == line)]
            label = labels.lines.get(line) or _words(line)
            axis.plot(part["x"], part["y"], lw=1.3, label=label, **look[line])
    figure.supylabel(labels.y, fontsize=8)
    figure.supxlabel(x_label, fontsize=8, parse_math=False)
    legend(figure, axes)
    return figure


def _words(name: str) -> str:
    return clean(name).replace("_", " ")


EXHIBITS = (ExhibitMaker(curves, tasks=None, position=10),)
