"""Agreement of values with retraining: without one player, on all coalitions, and on random coalitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leaderboard.drawing import legend, panels
from leaderboard.exhibit import HIGH, LOW, Exhibit, ExhibitMaker, SuiteResults, metric_table, with_published
from leaderboard.published import published


def partial_valuation(results: SuiteResults, tasks: Sequence[str]) -> list[Exhibit]:
    """Make Table 1: both correlations."""
    caption = (
        "Spearman's correlations of values with the utility of models retrained without each player, which should be "
        "negative, and with exact Shapley values of the game of a player against the rest. Means over seeds with "
        f"bootstrap intervals; p is the median over seeds. Published: {published()['partial_valuation'].setting}."
    )
    table = metric_table(results, tasks, ("spearman_without", "spearman_exact"), ("p_without", "p_exact"))
    table = with_published(table, results, "partial_valuation")
    shown = table[table["source"] == ""]
    figure, axes = panels(list(shown["problem"].unique()), size=(5.5, 3.0))
    for problem, axis in axes.items():
        rows = shown[shown["problem"] == problem].iloc[::-1]
        for offset, name, colour in ((0.15, "spearman_exact", "C0"), (-0.15, "spearman_without", "C1")):
            y = np.arange(len(rows)) + offset
            # One seed has no interval.
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
    return [Exhibit("partial_valuation", "Partial valuation (Table 1)", caption, table, {"": figure})]


def games(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Tabulate the agreement with exact Shapley values of all players, and with random coalitions."""
    caption = (
        "Spearman's and Pearson's correlation of values with exact Shapley values, from retraining on all coalitions, "
        "and the linear datamodeling score (lds): Spearman's correlation of values summed over random halves of the "
        "players with the utility of models trained on these halves. Means over seeds with bootstrap intervals."
    )
    table = metric_table(results, GAMES, ("spearman", "pearson", "lds"), ("p_spearman", "p_lds"))
    return [Exhibit("games", "Agreement with exact Shapley values, and group LDS", caption, table)]


GAMES = ("exact_agreement", "group_lds")
EXHIBITS = (
    ExhibitMaker(partial_valuation, tasks=("partial_agreement",), position=20),
    ExhibitMaker(games, tasks=GAMES, position=25),
)
