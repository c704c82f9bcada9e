"""The style of figures: panels side by side, one legend, and for every series a style that no other series has."""

from __future__ import annotations

import io
from collections.abc import Container, Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

# Without black and greys. Eight colours that differ in hue and lightness, also to most colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#6a3d9a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")


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
