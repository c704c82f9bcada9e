"""Gain over random values against processor time, for each goal of a suite: who is on the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from leaderboard.drawing import bar_ends, draw_front, draw_point, label_points, panels, plain_ticks
from leaderboard.exhibit import HIGH, LOW, Exhibit, ExhibitMaker, SuiteResults
from leaderboard.gains import on_front
from leaderboard.goal_tables import GOALS_IN_WORDS, probability
from leaderboard.goals import IN_WORDS, goal_view, suite_goals
from leaderboard.tables import COUNTS
from leaderboard.wording import SECONDS_OF

COLUMNS = ["evaluator", "role", "tier", "seconds", "gain", "gain" + LOW, "gain" + HIGH, "front", *COUNTS]


def pareto_front(results: SuiteResults, _: Sequence[str]) -> list[Exhibit]:
    """Draw the gain of each evaluator over random values against its seconds; the front is labelled, the rest grey."""
    parts = {}
    for goal in suite_goals(results.scores):
        table = goal_view(results.scores, goal).table
        table = table.rename(columns={"gain_low": "gain" + LOW, "gain_high": "gain" + HIGH})[COLUMNS]
        if table["front"].notna().any():
            parts[IN_WORDS[goal].capitalize()] = table.assign(goal=goal)
    if not parts:
        return []
    caption = (
        "Up is better, left is cheaper. Orange: the front, on which no other one is both better and cheaper; the "
        f"number is the probability of being on it. {GOALS_IN_WORDS}"
    )
    table = pd.concat(parts.values(), ignore_index=True)[["goal", *COLUMNS]]
    figure = _draw(parts, SECONDS_OF[results.scores.kind])
    return [Exhibit("pareto_front", "Pareto front of gain and seconds, by goal", caption, table, {"": figure})]


def _draw(parts: dict[str, pd.DataFrame], seconds: str) -> Figure:
    figure, axes = panels(list(parts), columns=1, height=2.2)
    labelled = []
    for title, table in parts.items():
        known = table[table["seconds"].notna()]
        texts = _draw_panel(axes[title], table[table["front"].notna()], seconds)
        # Labels keep off the ends of intervals too.
        ends = pd.concat([known[name].fillna(known["gain"]) for name in ("gain", "gain" + LOW, "gain" + HIGH)])
        labelled.append((texts, known["seconds"].tolist() * 3, ends.tolist()))
    label_points(figure, labelled)
    return figure


def _draw_panel(axis: Axes, table: pd.DataFrame, x_label: str) -> tuple[Axes, list[Text]]:
    """Draw the points of a goal and the line of the front; return the labels in their panel."""
    front = on_front(*(table[name].to_numpy()[np.newaxis] for name in ("gain", "seconds")))[0]
    seconds, gain = table["seconds"], table["gain"]
    ends = bar_ends(gain, table["gain" + LOW], table["gain" + HIGH])
    for i, first in enumerate(front):
        draw_point(axis, seconds.iloc[i], gain.iloc[i], [[end.iloc[i]] for end in ends], first=bool(first))
    axis.axhline(0, color="0.7", lw=0.8)
    axis.margins(x=0.12, y=0.2)
    axis.set_xscale("log")
    plain_ticks(axis.xaxis)
    axis.set_xlabel(x_label, fontsize=8)
    axis.set_ylabel("gain over random values", fontsize=8)
    line = table[front].sort_values("seconds")
    names = [f"{name} {probability(p)}" for name, p in zip(line["evaluator"], line["front"], strict=True)]
    return draw_front(axis, line["seconds"], line["gain"], names)


EXHIBITS = (ExhibitMaker(pareto_front, tasks=(), position=61),)
