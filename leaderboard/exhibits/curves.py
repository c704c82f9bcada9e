"""Curves of detection, removal and addition: a figure a problem, a panel an evaluator."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from leaderboard.exhibits.common import Exhibit, Found, mean_lines, metric_table, scored
from leaderboard.exhibits.drawing import legend, panels


@dataclass(frozen=True)
class Curves:
    """What is drawn of a task: curves over ``fraction``, and what each is called."""

    title: str
    share: str
    axis: str
    lines: dict[str, str]


STYLES = (("C0", "-"), ("C1", "-"), ("0.5", "--"))
FOUND = {"recall": "lowest values first", "optimal": "as well as can be", "random": "in random order"}
REMOVED = {"remove_high": "most valuable first", "remove_low": "least valuable first", "random": "in random order"}
ADDED = {"add_high": "most valuable first", "add_low": "least valuable first", "random": "in random order"}
CURVES = {
    "noisy_label_detection": Curves(
        "Noisy labels found (Figures 1 and 2)", "share of players inspected", "noisy players found", FOUND
    ),
    "noisy_feature_detection": Curves(
        "Noisy features found", "share of players inspected", "noisy players found", FOUND
    ),
    "point_removal": Curves(
        "Removal of players (Figures 1 and 2)", "share of players removed", "test performance", REMOVED
    ),
    "point_addition": Curves("Addition of players", "share of players added", "test performance", ADDED),
}


def task_curves(found: Found, task: str) -> Exhibit:
    """A task's curves, means over seeds."""
    curves = CURVES[task]
    data = mean_lines(
        [
            {"problem": cell.key.problem, "evaluator": cell.key.evaluator, "line": line, "x": x, "y": y}
            for cell, score in scored(found, task)
            for line in curves.lines
            for x, y in zip(score.curves["fraction"], score.curves[line], strict=True)
        ]
    )
    figures = {f"-{problem}": _draw(part, curves) for problem, part in data.groupby("problem", sort=False)}
    caption = f"Over the {curves.share}; means over seeds, in the table with bootstrap intervals."
    return Exhibit(task, curves.title, caption, metric_table(found, [task]), figures, data)


def _draw(data: pd.DataFrame, curves: Curves) -> Figure:
    figure, axes = panels(list(data["evaluator"].unique()), columns=5, size=(1.9, 1.6), shared=True)
    for evaluator, axis in axes.items():
        for (line, label), (colour, style) in zip(curves.lines.items(), STYLES, strict=True):
            part = data[(data["evaluator"] == evaluator) & (data["line"] == line)]
            axis.plot(part["x"], part["y"], color=colour, ls=style, lw=1.3, label=label)
    figure.supylabel(curves.axis, fontsize=8)
    figure.supxlabel(curves.share, fontsize=8)
    legend(figure, axes)
    return figure
