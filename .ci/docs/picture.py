"""Draws docs/quality-and-cost.svg from published results: ``python .ci/docs/picture.py``.

Each evaluator is a point: its mean score in a task against its mean seconds. Evaluators on the front, those that no
other one beats in both, are coloured and named; some that many know are named too. Colours are of medium lightness, so
that the picture can be read on white and on black.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import dvbench

ROOT = Path(__file__).parents[2]
Offset = tuple[float, float, str]  # of a name from its point: right, up (points), and its alignment
RIGHT: Offset = (7, -3, "left")
ABOVE: Offset = (5, 6, "left")
LEFT: Offset = (-7, -3, "right")
PANELS: dict[str, tuple[str, str, str, dict[str, Offset]]] = {
    "noisy_label_detection": (
        "board-points",
        "Find wrong labels among 1,000 rows",
        "AUROC",
        {
            "threshold_knn_shapley": (-2, -28, "left"),
            "chg_shapley": RIGHT,
            "unlearning_shapley": RIGHT,
            "data_shapley": LEFT,
            "leave_one_out": (0, -17, "center"),
        },
    ),
    "partial_agreement": (
        "board-providers",
        "Value 20 to 50 providers",
        "Rank correlation with retrained models",
        {
            "threshold_knn_shapley": (-45, -20, "left"),
            "unlearning_shapley": RIGHT,
            "ame": LEFT,
            "data_oob": RIGHT,
            "lava": RIGHT,
            "leave_one_out": RIGHT,
        },
    ),
}
INK, GREY, FRONT = "#767b85", "#9aa0a8", "#d9662b"
REFERENCES = ("random", "unlearning_shapley-hard")


def points_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean value and mean seconds of the evaluators that are drawn: those that are not worse than chance."""
    means = scores.groupby("evaluator")[["value", "seconds"]].mean()
    chance = means.loc["random", "value"]
    return means[means["value"] > chance - 0.05].drop(index=list(REFERENCES), errors="ignore")


def front(points: pd.DataFrame) -> list[str]:
    """Return the evaluators that no other one beats in both, from the fastest on."""
    best, names = float("-inf"), []
    for row in points.sort_values(["seconds", "value"], ascending=[True, False]).itertuples():
        if row.value > best:
            best = row.value
            names.append(str(row.Index))
    return names


def draw_panel(axes: Axes, scores: pd.DataFrame, title: str, ylabel: str, named: Mapping[str, Offset]) -> None:
    """Draw one task."""
    points, chance = points_of(scores), scores.loc[scores["evaluator"] == "random", "value"].mean()
    ahead = front(points)
    axes.axhline(chance, color=INK, linewidth=0.8, linestyle=(0, (4, 4)))
    axes.scatter(points["seconds"], points["value"], s=22, color=GREY, linewidths=0)
    leading = points.loc[ahead]
    axes.scatter(leading["seconds"], leading["value"], s=40, color=FRONT, linewidths=0, zorder=3)
    for name in dict.fromkeys([*ahead, *named]):
        right, up, alignment = named.get(name, ABOVE)
        axes.annotate(
            name,
            (points.loc[name, "seconds"], points.loc[name, "value"]),
            xytext=(right, up),
            textcoords="offset points",
            ha=alignment,
            color=FRONT if name in ahead else INK,
            fontsize=9,
        )
    axes.set(title=title, xlabel="Seconds of a valuation", ylabel=ylabel, xscale="log", xlim=(0.002, 60))
    axes.margins(y=0.1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.annotate("random values", (0.0023, chance), xytext=(0, 4), textcoords="offset points", color=INK, fontsize=9)


def scores_of(suite: str, task: str) -> pd.DataFrame:
    """Published scores in a task."""
    scores = dvbench.load_results(ROOT / "results", suite)
    return scores[scores["task"] == task]


def draw() -> Figure:
    """Draw all panels."""
    colours = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    with mpl.rc_context({**colours, "svg.fonttype": "none", "svg.hashsalt": "dvbench", "font.size": 10}):
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        for axes, (task, (suite, *words)) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
            draw_panel(axes, scores_of(suite, task), *words)
            axes.patch.set_alpha(0)
            axes.spines[["top", "right"]].set_visible(False)
        figure.patch.set_alpha(0)
        figure.savefig(ROOT / "docs/quality-and-cost.svg", metadata={"Date": None})
    return figure


if __name__ == "__main__":
    draw()
