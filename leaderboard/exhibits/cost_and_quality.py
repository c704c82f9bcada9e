"""Quality of evaluators against their cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import StrMethodFormatter

from leaderboard import statistics
from leaderboard.drawing import draw_front, draw_point, label_points, legend, panels, plain_ticks, rank_axis
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults
from leaderboard.gains import on_front
from leaderboard.suite_scores import COSTS as COLUMNS
from leaderboard.tables import COUNTS, MEGABYTE, RANKS_IN_WORDS
from leaderboard.wording import SECONDS_OF

SECONDS = "seconds"  # whose label names what takes them
COSTS = {
    SECONDS: ("seconds",),
    "models trained or unlearned": ("fits", "unlearned"),
    "peak memory, MB": ("peak_memory_mb", "gpu_memory_mb"),
}


def cost_and_quality(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Draw mean rank against seconds, against trained and unlearned models, and against peak memory."""
    overall = statistics.overall(results.scores.scores, results.scores.roles)
    overall = overall[overall["role"] == ""]
    overall = overall.rename(columns={"first": "rank_first", "last": "rank_last"})
    cost = statistics.cost(results.scores.cells)
    # A mean over the valuations that are ok would make an evaluator seem cheap that fails on large problems.
    whole = cost.groupby("evaluator")["complete"].transform("all")
    cost = cost[COLUMNS].where(whole).groupby(cost["evaluator"]).mean().reset_index()
    columns = ["evaluator", "tier", "rank_first", "rank_last", "mean_rank", *COUNTS]
    table = overall[columns].merge(cost, on="evaluator")
    table["peak_memory_mb"] = table.pop("peak_memory") / MEGABYTE
    table["gpu_memory_mb"] = table.pop("peak_cuda_memory") / MEGABYTE
    cells = results.scores.cells
    caption = (
        f"Mean rank over {cells['problem'].nunique()} problem(s), their tasks and {cells['seed'].nunique()} seed(s); "
        f"the line through it is the interval of the rank. Orange: no other evaluator is both better and cheaper; the "
        f"table has the names of all. {RANKS_IN_WORDS} Against it the cost of a valuation without "
        "scoring, medians over seeds, then means over problems: seconds; trained models plus unlearned ones (fits + "
        "unlearned) and peak memory, which is the growth of the process plus what was allocated on the GPU; a cost "
        "that is the same for all is not drawn. An evaluator with a failed or missing valuation has no cost."
    )
    # One alone has no rank.
    figures = {"": draw_costs(table, SECONDS_OF[results.scores.kind])} if len(table) > 1 else {}
    return [Exhibit("cost_and_quality", "Cost against quality", caption, table, figures)]


def draw_costs(table: pd.DataFrame, seconds: str) -> Figure:
    """Draw a panel for each cost that is not the same for all; ``seconds`` names what takes them."""
    costs = {label: table[list(names)].sum(axis=1, skipna=False) for label, names in COSTS.items()}
    shown = [label for label, cost in costs.items() if label == SECONDS or cost.nunique() > 1]
    figure, axes = panels(shown, columns=1, height=2.4)
    labelled = []
    for label, axis in axes.items():
        known = table.assign(cost=costs[label]).dropna(subset="cost")
        labelled.append((_draw_panel(axis, known), known["cost"].tolist(), known["mean_rank"].tolist()))
        axis.set_title("")
        axis.set_xlabel(seconds if label == SECONDS else label, fontsize=8)
    legend(figure, axes)
    label_points(figure, labelled)
    return figure


def _draw_panel(axis: Axes, known: pd.DataFrame) -> tuple[Axes, list[Text]]:
    """Draw the points and the line of the front; return the labels in their panel."""
    front = on_front(1 / known["mean_rank"].to_numpy()[np.newaxis], known["cost"].to_numpy()[np.newaxis])[0]
    for first, row in zip(front, known.to_dict("records"), strict=True):
        ends = [[max(row["mean_rank"] - row["rank_first"], 0)], [max(row["rank_last"] - row["mean_rank"], 0)]]
        label = "no other one is both better and cheaper" if first else "others"
        draw_point(axis, row["cost"], row["mean_rank"], ends, first=bool(first), label=label)
    if (known["cost"] > 0).all():
        axis.set_xscale("log")
        plain_ticks(axis.xaxis)
    else:
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(left=-0.1)
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axis.margins(x=0.1)
    axis.invert_yaxis()
    rank_axis(axis.yaxis, known["rank_last"].max())
    axis.set_ylabel("mean rank (better is up)", fontsize=8)
    line = known[front].sort_values("cost")
    return draw_front(axis, line["cost"], line["mean_rank"], line["evaluator"])


EXHIBITS = (ExhibitMaker(cost_and_quality, tasks=(), position=60),)
