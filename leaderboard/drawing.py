"""The style of figures: panels side by side, labelled lines, and for every series a style that no other series has.

A figure is as wide as the text of a page, so that no text in it is smaller than 7 points in print.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Container, Iterable, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter
from sklearn.isotonic import IsotonicRegression

# Without black and greys. Eight colours that differ in hue and lightness, also to most colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#6a3d9a")
WIDTH = 7.0  # inches, the width of the text of a page
PAGE = 9.1  # inches, the height of the text of a page
SMALL = 7  # points
ITERATIONS = 300  # of moving labels apart; a time limit would make figures depend on the machine
MOST_IN_LEGEND = 6  # lines; more are labelled at their ends
FRONT = COLOURS[1]  # what no other one is both better and cheaper than, here and on the site
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")


def panels(
    names: Sequence[str], columns: int = 2, height: float = 2.6, *, shared: bool = False
) -> tuple[Figure, dict[str, Axes]]:
    """Make a figure with one panel per name; the height of a panel is in inches."""
    columns = min(columns, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH, height * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=shared, sharey=shared).flatten()
    letters = int(WIDTH / columns / (0.068 if columns > 2 else 0.09))
    for axis, name in zip(axes, names, strict=False):
        title = "\n".join(wrapped(line, letters) for line in name.split("\n"))
        axis.set_title(title, fontsize=SMALL + (columns < 3), parse_math=False)
        axis.tick_params(labelsize=SMALL)
        axis.grid(visible=True, color="0.93")
        axis.spines[["top", "right"]].set_visible(False)
    for position, axis in enumerate(axes[len(names) :], len(names)):
        axis.set_visible(False)
        axes[position - columns].tick_params(labelbottom=True)
    return figure, dict(zip(names, axes, strict=False))


def logarithmic(axis: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers at its ticks."""
    axis.set_yscale("log")
    plain_ticks(axis.yaxis)


def plain_ticks(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as plain numbers; less than a decade gets a few round numbers."""
    if np.ptp(np.log10(axis.get_view_interval())) < 1:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:.6g}"))
    axis.set_minor_formatter(NullFormatter())


def rank_axis(axis: Axis, last: float) -> None:
    """Put the ticks of an axis of ranks at 1 and at round numbers: there is no rank 0."""
    step = max(1, 5 * round(last / 25)) if last > 12 else 1 if last < 8 else 2
    axis.set_ticks([1, *(tick for tick in range(step, math.floor(last) + 1, step) if tick > 1)])


def wrapped(name: str, letters: int) -> str:
    """Break a name after underscores and hyphens, so that no line is longer than a number of letters."""
    if len(name) <= letters:
        return name
    parts = textwrap.wrap(re.sub("(?<=[_-])", " ", name), letters + 3)  # three of them are the spaces
    return "\n".join(re.sub("(?<=[_-]) ", "", part) for part in parts)


def bar_ends(middle: pd.Series, low: pd.Series, high: pd.Series) -> list[pd.Series]:
    """Lengths of error bars downwards and upwards; rounding makes none of them negative."""
    return [(middle - low).clip(lower=0), (high - middle).clip(lower=0)]


def draw_line(axis: Axes, points: pd.DataFrame, label: str, **look: Any) -> None:
    """Draw a line of `leaderboard.exhibit.mean_lines`, with a band from the lowest to the highest seed."""
    axis.plot(points["x"], points["y"], label=label, **look)
    if (points["highest"] > points["lowest"]).any():
        axis.fill_between(points["x"], points["lowest"], points["highest"], color=look["color"], alpha=0.15, lw=0)


def legend(figure: Figure, axes: dict[str, Axes]) -> None:
    """Add one legend for all panels above them; labels are never read as mathematics."""
    handles: dict[str, Any] = {}
    for axis in axes.values():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    columns = max(1, int(WIDTH / (0.5 + 0.06 * max(map(len, handles), default=1))))
    added = figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        fontsize=SMALL,
        frameon=False,
        ncols=min(columns, MOST_IN_LEGEND),
    )
    for text in added.get_texts():
        text.set_parse_math(False)


def name_lines(figure: Figure, axes: dict[str, Axes]) -> None:
    """Name the lines in a legend, or, if there are many, each line at its right end."""
    if all(len(axis.get_legend_handles_labels()[1]) <= MOST_IN_LEGEND for axis in axes.values()):
        legend(figure, axes)
        return
    labels = {label for axis in axes.values() for label in axis.get_legend_handles_labels()[1]}
    room = 0.2 + 0.055 * max(map(len, labels))  # inches for the longest label
    columns, rows = (
        len({round(getattr(axis.get_position(), side), 3) for axis in axes.values()}) for side in ("x0", "y0")
    )
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(wspace=room / WIDTH * columns, rect=(0, 0, 1 - room / WIDTH, 1))
    height = figure.get_figheight() / rows - 0.7  # inches without title and labels of the x axis
    for axis in axes.values():
        _label_ends(axis, 1.3 * SMALL / 72 / height)


def _label_ends(axis: Axes, distance: float) -> None:
    """Write the name of each line at its right end, in its colour; names are moved up and down until none overlap."""
    axis.autoscale_view()
    to_axes = axis.transData + axis.transAxes.inverted()
    ends = {}
    for line in axis.get_lines():
        points = np.asarray(line.get_xydata(), float)
        known = points[np.isfinite(points).all(axis=1)]
        if len(known) and not str(line.get_label()).startswith("_"):
            ends[line] = tuple(to_axes.transform(known[-1]))
    ordered = sorted(ends, key=lambda line: float(ends[line][1]))
    wanted = np.array([ends[line][1] for line in ordered])
    # Of all places in this order and at this distance from each other, those nearest to the ends of the lines.
    steps = distance * np.arange(len(wanted))
    outside = min(1 - steps[-1], 0) / 2
    places = IsotonicRegression(y_min=outside, y_max=max(1 - steps[-1], outside)).fit_transform(steps, wanted - steps)
    for line, place in zip(ordered, places + steps, strict=True):
        label = axis.annotate(
            str(line.get_label()),
            ends[line],
            (1.08, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            fontsize=SMALL,
            va="center",
            color=line.get_color(),
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "lw": 0.5, "relpos": (0, 0.5)},
        )
        label.set_in_layout(False)  # its room is reserved


def draw_front(axis: Axes, x: pd.Series, y: pd.Series, names: Sequence[str]) -> tuple[Axes, list[Text]]:
    """Draw the line of a front, whose points are in the order of x, and the labels that `label_points` moves."""
    axis.step(x, y, where="post", color=FRONT, lw=1, zorder=2)
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.85}
    return axis, [
        axis.text(at_x, at_y, name, fontsize=SMALL, parse_math=False, bbox=behind, zorder=3)
        for name, at_x, at_y in zip(names, x, y, strict=True)
    ]


def draw_point(axis: Axes, x: float, y: float, ends: list[list[float]], *, first: bool, label: str = "") -> None:
    """Draw a point and its interval, coloured on the front and otherwise grey; labels lie between both."""
    colour = FRONT if first else "0.7"
    axis.errorbar(x, y, yerr=ends, ls="", lw=0.8, color=colour, zorder=1.6 + first / 4)
    axis.plot(x, y, ls="", marker="o", ms=4, color=colour, zorder=4 + first, label=label)


def label_points(
    figure: Figure, labelled: Sequence[tuple[tuple[Axes, Sequence[Text]], Sequence[float], Sequence[float]]]
) -> None:
    """Move the labels of each panel, which `draw_front` made, off each other, its points at x and y, and its front."""
    figure.draw_without_rendering()  # sizes of axes and labels are known from here on
    arrow = {"arrowstyle": "-", "color": "0.5", "lw": 0.6}
    for (axis, texts), x, y in labelled:
        line = _along([text.get_position() for text in texts])
        adjust_text(
            list(texts),
            x=[*x, *(point[0] for point in line)],
            y=[*y, *(point[1] for point in line)],
            ax=axis,
            iter_lim=ITERATIONS,
            expand=(1.05, 1.3),
            force_text=(0.3, 0.6),
            force_static=(0.3, 0.6),
            force_explode=(0.2, 0.8),
            prevent_crossings=False,
            arrowprops=arrow,
        )


def _along(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points on the line of a front, which goes right and then up or down to each next point."""
    points = list[tuple[float, float]]()
    for (x, y), (next_x, next_y) in pairwise(front):
        steps = np.geomspace(x, next_x, 30) if x > 0 else np.linspace(x, next_x, 30)
        points += [(float(step), y) for step in steps] + [(next_x, float(step)) for step in np.linspace(y, next_y, 10)]
    return points


def styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give every line of a figure a colour and a line style, the same in all panels; no two lines share both.

    None of the colours is black or grey: those are for `reference_styles`.
    """
    distinct = list(dict.fromkeys(names))
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "ls": _dashes(i // len(COLOURS))} for i, name in enumerate(distinct)
    }


def reference_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give lines to compare with a grey and a dashed line style each; no two share a line style."""
    distinct = list(dict.fromkeys(names))
    greys = np.linspace(0.0, 0.6, max(len(distinct), 2))
    return {name: {"color": f"{greys[i]:.2f}", "ls": _dashes(i + 1)} for i, name in enumerate(distinct)}


def styles_beside(references: Container[str], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give grey lines to those of the names that are references, as `reference_styles`, and colours to the others."""
    distinct = list(dict.fromkeys(names))
    looks = reference_styles(name for name in distinct if name in references)
    return looks | styles(name for name in distinct if name not in references)


def markers(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give every point of a figure a colour and a marker; no two points share both."""
    distinct = list(dict.fromkeys(names))
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i // len(COLOURS) % len(MARKERS)]}
        for i, name in enumerate(distinct)
    }


def _dashes(number: int) -> Any:
    """Return the line style of this number: solid, three usual ones, then dashes with ever more dots between them."""
    usual = ("-", "--", ":", "-.")
    return usual[number] if number < len(usual) else (0, (6, 1.5, *(1, 1.5) * (number - 2)))


def svg(figure: Figure) -> bytes:
    """Write a figure as SVG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    # Without a date and with fixed names, so that equal figures are equal files; text stays text and can be searched.
    with mpl.rc_context({"svg.hashsalt": "dvbench", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
