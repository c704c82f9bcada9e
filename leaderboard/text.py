"""Text that strangers wrote, as it is shown."""

from __future__ import annotations

LENGTH = 400


def clean(text: str) -> str:
    """Text of a result on one line, without control and direction characters, and not endless."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 10 * LENGTH]).split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
