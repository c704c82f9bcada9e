"""Quality of evaluators against their cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leaderboard import statistics
from leaderboard.drawing import markers, panels, plain_ticks
from leaderboard.exhibit import Exhibit, ExhibitMaker, SuiteResults
from leaderboard.suite_scores import COSTS as COLUMNS
from leaderboard.tables import COUNTS, MEGABYTE, RANKS_IN_WORDS

COSTS = {
    "seconds": ("seconds",),
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
    figure, axes = panels(list(COSTS), columns=1, size=(7.5, 4.0))
    for label, axis in axes.items():
        for evaluator, style in markers(table["evaluator"]).items():
            row = table[table["evaluator"] == evaluator].iloc[0]
            point = sum(row[name] for name in COSTS[label]), row["mean_rank"]
            if np.isnan(point[0]):
                continue
            ends = [[max(row["mean_rank"] - row["rank_first"], 0)], [max(row["rank_last"] - row["mean_rank"], 0)]]
            axis.errorbar(*point, yerr=ends, ls="", lw=0.8, alpha=0.7, label=evaluator, **style)
            axis.annotate(evaluator, point, (5, 3), textcoords="offset points", fontsize=7)
        if (table[list(COSTS[label])].dropna().sum(axis=1) > 0).all():
            axis.set_xscale("log")
            plain_ticks(axis.xaxis)
        else:
            axis.set_xscale("symlog", linthresh=1)
            axis.set_xlim(left=-0.1)
        axis.invert_yaxis()
        axis.set_ylabel("mean rank (better is up)", fontsize=8)
    cells = results.scores.cells
    caption = (
        f"Mean rank over {cells['problem'].nunique()} problem(s), their tasks and {cells['seed'].nunique()} seed(s); "
        f"the line through it is the interval of the rank. {RANKS_IN_WORDS} Against it the cost of a valuation without "
        "scoring, means over seeds, then over problems: seconds; trained models plus unlearned ones (fits + unlearned) "
        "and peak memory, which is the growth of the process plus what was allocated on the GPU. An evaluator with a "
        "failed or missing valuation has no cost."
    )
    return [Exhibit("cost_and_quality", "Cost against quality", caption, table, {"": figure})]


EXHIBITS = (ExhibitMaker(cost_and_quality, tasks=(), position=60),)
