"""Limits of what a cell may take. Worker processes are held to them; nothing can hold this process to them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one cell.

    Parameters
    ----------
    seconds : float, optional
        Longest time of its valuation, which includes a second valuation, and longest time of its scoring. Cells that
        are scored together have the sum of their times. By default there is no limit.
    """

    seconds: float | None = None


NO_LIMITS = Limits()
