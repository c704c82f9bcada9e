"""Curves of a task over another curve of it, such as accuracy over the fraction of players removed.

Every task with such curves is drawn, unless another exhibit declares it. Each problem has a figure with one panel per
evaluator, the best one first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from dvbench.results import Score
from leaderboard.drawing import PAGE, draw_line, legend, panels, reference_styles, styles
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults, best_first, mean_lines, metric_table
from leaderboard.intervals import IN_TABLE
from leaderboard.text import clean
from leaderboard.wording import as_in, players


@dataclass(frozen=True)
class Labels:
    """Texts of the figures of a task; what is empty is made from the names of the task and its curves.

    Parameters
    ----------
    title, x, y : str
    lines : dict of str to str
        Label of each curve, in the order in which they are drawn; other curves follow.
    apart : dict of str to str
        Curves that have another unit than the others and so a figure of their own, and the label of its y axis.
    joined : bool
        Whether the points of a curve are joined by lines; not if x only numbers them.
    in_paper : bool
        Whether the Unlearning Shapley paper has figures of it: Figure 1 for points and Figure 2 for subsets.
    """

    title: str = ""
    x: str = ""
    y: str = ""
    lines: dict[str, str] = field(default_factory=dict)
    apart: dict[str, str] = field(default_factory=dict)
    joined: bool = True
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
    "utility_robustness": Labels(
        "Other utilities than that of the values",
        "fraction of players kept",
        "most valuable minus least valuable players",
        {"margin_utility": "accuracy", "margin_f1": "F1 score", "margin_other_model": "accuracy of another model"},
        apart={"margin_log_loss": "negative log loss, most minus least valuable players"},
    ),
    "lds_per_point": Labels(
        "LDS of single points", "number of the point in the validation set", "Spearman's correlation", joined=False
    ),
}
COLUMNS, MOST_ROWS = 4, 8  # panels of a figure
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
        figures: dict[str, Figure] = {}
        for problem, part in data.groupby("problem", sort=False):
            order = best_first(results, task, str(problem), list(part["evaluator"].unique()))
            together = part[~part["line"].isin(labels.apart)]
            figures |= _draw_pages(f"-{problem}", together, order, labels, x_label, labels.y)
            for line, y_label in labels.apart.items():
                other = part[part["line"] == line]
                figures |= _draw_pages(f"-{problem}-{line}", other, order, labels, x_label, y_label)
        drawn = (
            f"The curves are over the {x_label}, means over seeds; bands reach from the lowest to the highest seed"
            if labels.joined
            else f"Horizontal: the {x_label}; other seeds have other points, so those of the first seed are drawn"
        )
        caption = (
            f"Players: {players(results, [task])}. {drawn}. Panels are in the order of the mean rank in this task and "
            "problem, the best first, and reference rows last."
        )
        # Names of curves come from results, and are no part of a file's name.
        name = task if number == 1 else f"{task}-{number}"
        title = labels.title or f"{_words(task).capitalize()}, over {_words(axis)}"
        title += _figures_of_the_paper(results, task) if labels.in_paper else ""
        made.append(Exhibit(name, title, caption, metric_table(results, [task]), figures, data, IN_TABLE))
    return made


def _figures_of_the_paper(results: SuiteResults, task: str) -> str:
    """Name the figures of the paper with these players: those of classification have points or random subsets."""
    cells = [
        cell for cell, _ in results.cells if task in cell.tasks and results.kinds[cell.key.problem] == "classification"
    ]
    numbers = {1 if cell.problem.groups is None else 2 for cell in cells}
    words = {(1,): "Figure 1", (2,): "Figure 2", (1, 2): "Figures 1 and 2"}
    figure = words.get(tuple(sorted(numbers)))
    return as_in(figure) if figure else ""


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


def _draw_pages(
    name: str, data: pd.DataFrame, order: Sequence[str], labels: Labels, x_label: str, y_label: str
) -> dict[str, Figure]:
    """Draw one figure, or several numbered ones with equal axes if the panels do not fit on a page."""
    rows = -(-len(order) // COLUMNS)
    size = COLUMNS * -(-rows // -(-rows // MOST_ROWS))
    pages = [order[start : start + size] for start in range(0, len(order), size)]
    figures = [_draw(data, page, labels, x_label, y_label) for page in pages]
    low, high = zip(*(figure.axes[0].get_ylim() for figure in figures), strict=True)
    for figure in figures if len(figures) > 1 else ():
        figure.axes[0].set_ylim(min(low), max(high))
    return {f"{name}-{i}" if len(pages) > 1 else name: figure for i, figure in enumerate(figures, 1)}


def _draw(data: pd.DataFrame, order: Sequence[str], labels: Labels, x_label: str, y_label: str) -> Figure:
    height = min(1.3, PAGE / -(-len(order) // COLUMNS))
    figure, axes = panels(order, columns=COLUMNS, height=height, shared=True)
    lines = list(data["line"].unique())
    look = styles(line for line in lines if line != REFERENCE) | reference_styles([REFERENCE])
    for evaluator, axis in axes.items():
        for line in lines:
            part = data[(data["evaluator"] == evaluator) & (data["line"] == line)]
            label = labels.lines.get(line) or _words(line)
            style = look[line] if labels.joined else look[line] | {"ls": "", "marker": ".", "ms": 4}
            draw_line(axis, part, label, lw=1.2, **style)
    figure.supylabel(y_label, fontsize=8)
    figure.supxlabel(x_label, fontsize=8, parse_math=False)
    if len(lines) > 1:
        legend(figure, axes)
    return figure


def _words(name: str) -> str:
    return clean(name).replace("_", " ")


EXHIBITS = (ExhibitMaker(curves, tasks=None, position=10),)
