"""Texts that strangers wrote, made fit to be printed in a line of a terminal."""

from __future__ import annotations

LONGEST = 300


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of printable characters: a name in a bundle can move no cursor and set no window's title."""
    words = " ".join(str(text).split())
    line = "".join(character if character.isprintable() else "?" for character in words)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def counted(number: int, thing: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number} {thing}" + ("" if number == 1 else "s")
