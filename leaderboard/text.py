"""Prepares untrusted texts of results for display."""

from __future__ import annotations

LENGTH = 400


def clean(text: str) -> str:
    """Put a text on one line without control and direction characters, and cut it after `LENGTH` characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text[: 10 * LENGTH]).split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
