"""The style of figures: panels side by side, one legend, one colour per evaluator."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter


def panels(
    names: Sequence[str], columns: int = 2, size: tuple[float, float] = (4.6, 3.4), *, shared: bool = False
) -> tuple[Figure, dict[str, Axes]]:
    """Make a figure with one panel per name and room for a legend; sizes are in inches."""
    columns = min(columns, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(size[0] * columns + 2.2, size[1] * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=shared, sharey=shared).flatten()
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(name, fontsize=8, parse_math=False)
        axis.tick_params(labelsize=8)
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
    """Write the ticks of a logarithmic axis as plain numbers, also the minor ones if it spans less than a decade."""
    axis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
    axis.set_minor_formatter(StrMethodFormatter("{x:.3g}") if np.ptp(np.log10(axis.get_view_interval())) < 1 else "")
    axis.set_tick_params(which="minor", labelsize=6)


def legend(figure: Figure, axes: dict[str, Axes]) -> None:
    """Add one legend for all panels at the side; labels are never read as mathematics."""
    handles: dict[str, Any] = {}
    for axis in axes.values():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    added = figure.legend(list(handles.values()), list(handles), loc="outside right upper", fontsize=7, frameon=False)
    for text in added.get_texts():
        text.set_parse_math(False)


def colours(evaluators: Iterable[str]) -> dict[str, Any]:
    """Give every evaluator a colour, the same in all panels."""
    names = list(dict.fromkeys(evaluators))
    colormap = colormaps["tab10" if len(names) <= 10 else "tab20"]
    return {name: colormap(i % colormap.N) for i, name in enumerate(names)}


def svg(figure: Figure) -> bytes:
    """Write a figure as SVG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    # Without a date and with fixed names, so that equal figures are equal files; text stays text and can be searched.
    with mpl.rc_context({"svg.hashsalt": "dvbench", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
