"""Agreement of values with retraining: of player against rest, of all coalitions, and of random ones."""

from __future__ import annotations

import numpy as np

from leaderboard.exhibits.common import HIGH, LOW, Exhibit, Found, beside, metric_table
from leaderboard.exhibits.drawing import legend, panels
from leaderboard.published import published

GAMES = ("exact_agreement", "group_lds")


def partial_valuation(found: Found) -> Exhibit:
    """Table 1: both correlations."""
    caption = (
        "Spearman's correlations of values with the performance of models retrained without each player, which should "
        "be negative, and with exact values of the game of player against rest. Means over seeds with bootstrap "
        f"intervals; p is the median over seeds. Published: {published()['partial_valuation'].setting}."
    )
    table = metric_table(found, ["partial_agreement"], ("spearman_without", "spearman_exact"), ("p_without", "p_exact"))
    table = beside(table, found, "partial_valuation")
    shown = table[table["source"] == ""]
    figure, axes = panels(list(shown["problem"].unique()), size=(5.5, 3.0))
    for problem, axis in axes.items():
        rows = shown[shown["problem"] == problem].iloc[::-1]
        for offset, name, colour in ((0.15, "spearman_exact", "C0"), (-0.15, "spearman_without", "C1")):
            y = np.arange(len(rows)) + offset
            # Of one seed there is no interval.
            ends = [abs(rows[name + end] - rows[name]).fillna(0.0) for end in (LOW, HIGH)]
            axis.errorbar(rows[name], y, xerr=ends, fmt="o", ms=4, color=colour, label=name)
        reported = table[(table["problem"] == problem) & (table["source"] != "")]
        for name, colour in (("spearman_exact", "C0"), ("spearman_without", "C1")):
            for value in reported[name]:
                axis.axvline(value, color=colour, ls="--", lw=1, label=f"{name}, published")
        axis.axvline(0, color="0.7", lw=0.8)
        axis.set_yticks(range(len(rows)), rows["evaluator"])
        axis.set_xlim(-1.05, 1.05)
        axis.set_xlabel("Spearman's correlation", fontsize=8)
    legend(figure, axes)
    return Exhibit("partial_valuation", "Partial valuation (Table 1)", caption, table, {"": figure})


def games(found: Found) -> Exhibit:
    """Agreement with exact Shapley values of the game of all players, and with random coalitions."""
    caption = (
        "Spearman's and Pearson's correlation of values with exact Shapley values of retraining on all coalitions, and "
        "the linear datamodeling score (lds): Spearman's correlation of values summed over random halves of the "
        "players with the performance of models trained on these. Means over seeds with bootstrap intervals."
    )
    table = metric_table(found, list(GAMES), ("spearman", "pearson", "lds"), ("p_spearman", "p_lds"))
    return Exhibit("games", "Agreement with exact Shapley values, and group LDS", caption, table)
