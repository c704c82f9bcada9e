"""Prepares untrusted texts of results for display."""

from __future__ import annotations

LENGTH = 400
OF_DESCRIPTION = 1000  # of a suite


def clean(text: str, length: int = LENGTH) -> str:
    """Put a text on one line without control and direction characters, and cut it after ``length`` characters."""
    start = text[: 10 * length]
    printable = start if start.isprintable() else "".join(one if one.isprintable() else " " for one in start)
    line = " ".join(printable.split())
    return line if len(line) <= length else line[: length - 1] + "…"
