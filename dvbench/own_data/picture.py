"""The picture of values: bars of the most and the least valuable rows, or of all groups."""

from __future__ import annotations

import io
import logging
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS = 15  # in each panel of rows
GROUPS = 40
SIGNS = ("#b5482a", "#2a7f62")  # of values below and above zero
NO_SIGNS = ("#4a6d8c", "#4a6d8c")  # where all values are below zero, so that it divides nothing
NAME = 24  # characters
VISIBLE = 0.05  # of the longest bar; shorter ones look like none


def draw(frame: pd.DataFrame, how: str, numbering: str) -> Figure:
    """Draw values. Ties are one bar, because there is no order among them.

    Parameters
    ----------
    frame : pandas.DataFrame
        The ``values`` of a `dvbench.own_data.values.Values`.
    how : str
        The caption.
    numbering : str
        What the numbers of rows count.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    grouped = "group" in frame
    bars = _bars(frame, grouped, numbering)
    what = "groups" if grouped else "rows"
    limit = GROUPS if grouped else 2 * BARS
    panels = [(bars, f"{what} by value")] if len(bars) <= limit else _ends(bars, limit // 2, what)
    height = 1.6 + 0.26 * max(len(panel) for panel, _ in panels)
    figure = Figure(figsize=(7.5, height) if len(panels) == 1 else (11, height), layout="constrained")
    shared = _of_one_size([panel for panel, _ in panels])
    axes = figure.subplots(1, len(panels), sharex=shared, squeeze=False)[0]
    for each, (panel, title) in zip(axes, panels, strict=True):
        _draw_bars(each, panel, SIGNS if frame["value"].max() > 0 else NO_SIGNS)
        each.set_title(title if shared else f"{title} (scale of its own)", fontsize=10)
    lines = "; error bars: standard deviation over folds" if "spread" in frame else ""
    lines = "; error bars: standard error" if "standard_error" in frame else lines
    figure.suptitle("\n".join(textwrap.wrap(how + lines, 95)), fontsize=9, parse_math=False)
    figure.supxlabel("data value", fontsize=9)
    return figure


def png(figure: Figure) -> bytes:
    """Render a figure; a character that no font has becomes a box, without a warning."""
    buffer, log = io.BytesIO(), logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            figure.savefig(buffer, format="png", dpi=150)
    finally:
        log.setLevel(level)
    return buffer.getvalue()


def _bars(frame: pd.DataFrame, grouped: bool, numbering: str) -> list[dict[str, Any]]:
    """One bar a rank, from the highest: a row, a group, or all that are tied."""
    error = next((name for name in ("spread", "standard_error") if name in frame), None)
    bars = []
    for _, tied in frame.groupby("rank", sort=True):
        first = tied.iloc[0]
        if len(tied) > 1:
            label = f"{len(tied):,} {'groups' if grouped else 'rows'} tied"
        elif grouped:
            label = f"{_short(str(first['group']))} ({first['rows']:,})"
        else:
            label = f"{numbering} {first['row']} ({_short(str(first['label']))})"
        width = float(first[error]) if error and len(tied) == 1 else 0.0
        bars.append({"label": label, "value": float(first["value"]), "error": width})
    return bars


def _ends(bars: list[dict[str, Any]], shown: int, what: str) -> list[tuple[list[dict[str, Any]], str]]:
    return [
        (bars[:shown], f"the {shown} most valuable {what}"),
        (bars[: -shown - 1 : -1], f"the {shown} least valuable {what}"),
    ]


def _of_one_size(panels: Sequence[Sequence[dict[str, Any]]]) -> bool:
    """Whether the bars of each panel can be seen on the scale of the longest of all."""
    longest = [max(abs(float(bar["value"])) for bar in panel) for panel in panels]
    return min(longest) >= VISIBLE * max(longest)


def _draw_bars(axes: Axes, bars: Sequence[dict[str, Any]], signs: tuple[str, str]) -> None:
    values = np.array([bar["value"] for bar in bars])
    colours = [signs[int(value >= 0)] for value in values]
    errors = np.array([bar["error"] for bar in bars])
    axes.barh(range(len(bars)), values, xerr=errors, color=colours, error_kw={"lw": 1, "ecolor": "0.1"})
    axes.set_yticks(range(len(bars)), [bar["label"] for bar in bars], fontsize=8, parse_math=False)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="x", labelsize=8)
    axes.axvline(0, color="0.3", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _short(text: str) -> str:
    return text if len(text) <= NAME else f"{text[: NAME - 1]}…"
