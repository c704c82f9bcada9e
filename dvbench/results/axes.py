"""The x axes of a score's curves: another curve, or the index of what a curve has one number of."""

from __future__ import annotations

from collections.abc import Collection, Mapping

INDICES = ("player", "coalition", "epoch")


def check_axes(axes: Mapping[str, str], curves: Mapping[str, Collection[float]]) -> None:
    """Raise a ValueError unless each axis belongs to a curve, and is an index or another curve of the same length."""
    for name, axis in axes.items():
        if name not in curves:
            raise ValueError(f"there is an x axis for '{name}', which is no curve")
        if axis in curves and axis != name:
            if len(curves[axis]) != len(curves[name]):
                raise ValueError(
                    f"the curve '{name}' has {len(curves[name])} numbers, and its x axis '{axis}' {len(curves[axis])}"
                )
        elif axis not in INDICES:
            raise ValueError(
                f"the x axis of '{name}' is '{axis}', neither another curve nor one of {', '.join(INDICES)}"
            )
