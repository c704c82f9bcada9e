"""Texts that are safe to print on one line of a terminal."""

from __future__ import annotations

from dvbench.errors import plain

__all__ = ["counted", "plain"]


def counted(number: int, thing: str) -> str:
    """Format a number with its noun: ``1 cell``, ``2 cells``."""
    return f"{number} {thing}" + ("" if number == 1 else "s")
