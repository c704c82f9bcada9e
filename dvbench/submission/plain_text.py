"""Makes untrusted texts safe to print on one line of a terminal."""

from __future__ import annotations

LONGEST = 300


def plain(text: object, longest: int = LONGEST) -> str:
    """Replace control characters, which could move the cursor or change the title of the window, and cut long texts."""
    words = " ".join(str(text).split())
    line = "".join(character if character.isprintable() else "?" for character in words)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def counted(number: int, thing: str) -> str:
    """Format a number with its noun: ``1 cell``, ``2 cells``."""
    return f"{number} {thing}" + ("" if number == 1 else "s")
