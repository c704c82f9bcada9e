"""Agreement of values with retraining: without one player, on all coalitions, and on random coalitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from leaderboard.drawing import PAGE, legend, markers, panels, wrapped
from leaderboard.exhibit import (
    HIGH,
    LOW,
    Exhibit,
    ExhibitMaker,
    SuiteResults,
    best_first,
    metric_table,
    published_in_words,
    with_published,
)
from leaderboard.intervals import IN_WORDS
from leaderboard.wording import as_in, players, utility

WORDS = {"spearman_exact": "with exact Shapley values", "spearman_without": "with models without the player"}
CORRELATIONS = tuple(WORDS)


def partial_valuation(results: SuiteResults, tasks: Sequence[str]) -> list[Exhibit]:
    """Make Table 1: both correlations."""
    caption = (
        f"Players: {players(results, tasks)}. Utility: {utility(results, tasks)} on the test set. Spearman's "
        "correlations of values with the utility of models retrained without each player (spearman_without), which "
        "should be negative, and with exact Shapley values of the game of a player against the rest (spearman_exact): "
        f"means over seeds, each with {IN_WORDS}. In figures evaluators are in the order of the mean rank in this task "
        "and problem, the best first, and reference rows last. Columns named median are medians over seeds of the "
        f"p-values of these correlations.{published_in_words(results, 'partial_valuation')}"
    )
    table = metric_table(results, tasks, CORRELATIONS[::-1], ("p_without", "p_exact"))
    table = with_published(table, results, "partial_valuation")
    shown = table[table["source"] == ""]
    tallest = int(shown.groupby("problem", sort=False).size().max())
    height, problems = 0.7 + 0.27 * tallest, list(shown["problem"].unique())
    together = 2 * max(int(PAGE / height), 1)
    pages = [problems[start : start + together] for start in range(0, len(problems), together)]
    orders = {problem: best_first(results, tasks[0], problem, _evaluators(shown, problem)) for problem in problems}
    figures = {
        f"-{number}" if len(pages) > 1 else "": _draw(table, {problem: orders[problem] for problem in page}, height)
        for number, page in enumerate(pages, 1)
    }
    return [Exhibit("partial_valuation", f"Partial valuation{as_in('Table 1')}", caption, table, figures)]


def _evaluators(shown: pd.DataFrame, problem: str) -> list[str]:
    return list(shown.loc[shown["problem"] == problem, "evaluator"])


def _draw(table: pd.DataFrame, orders: dict[str, list[str]], height: float) -> Figure:
    """Draw one panel for each problem, whose evaluators are in a given order."""
    shown = table[table["source"] == ""]
    figure, axes = panels(list(orders), height=height)
    for problem, axis in axes.items():
        rows = shown[shown["problem"] == problem].set_index("evaluator", drop=False).loc[orders[problem][::-1]]
        for offset, (name, style) in zip((0.15, -0.15), markers(CORRELATIONS).items(), strict=True):
            y = np.arange(len(rows)) + offset
            # One seed has no interval.
            ends = [abs(rows[name + end] - rows[name]).fillna(0.0) for end in (LOW, HIGH)]
            axis.errorbar(rows[name], y, xerr=ends, ls="", ms=3, lw=1, label=WORDS[name], **style)
        reported = table[(table["problem"] == problem) & (table["source"] != "")]
        for name, style in markers(CORRELATIONS).items():
            for value in reported[name]:
                axis.axvline(value, color=style["color"], ls="--", lw=1, label=f"{WORDS[name]}, published")
        axis.axvline(0, color="0.7", lw=0.8)
        axis.set_yticks(range(len(rows)), [wrapped(name, 22) for name in rows["evaluator"]])
        axis.set_xlim(-1.05, 1.05)
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.set_xlabel("Spearman's correlation", fontsize=8)
    legend(figure, axes)
    return figure


def games(results: SuiteResults, tasks: Sequence[str]) -> list[Exhibit]:
    """Tabulate the agreement with exact Shapley values of all players, and with random coalitions."""
    caption = (
        f"Players: {players(results, tasks)}. Utility: {utility(results, tasks)} on the test set. Spearman's and "
        "Pearson's correlation of values with exact Shapley values, from retraining on all coalitions, and the linear "
        "datamodeling score (lds): Spearman's correlation of values summed over halves of the players with the "
        "utility of models trained on these halves, which are 50 random ones, or all if there are no more. Means over "
        f"seeds, each with {IN_WORDS}. Columns named median are medians over seeds of the p-values of these "
        "correlations."
    )
    table = metric_table(results, GAMES, ("spearman", "pearson", "lds"), ("p_spearman", "p_lds"))
    return [Exhibit("games", "Agreement with exact Shapley values, and group LDS", caption, table)]


GAMES = ("exact_agreement", "group_lds")
EXHIBITS = (
    ExhibitMaker(partial_valuation, tasks=("partial_agreement",), position=20),
    ExhibitMaker(games, tasks=GAMES, position=25),
)
