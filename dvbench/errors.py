"""The error a user can cause and mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Something the user asked for cannot be done; the message is one line that says what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """Build the error for a name that does not exist.

    Parameters
    ----------
    what : str
        The kind of thing, such as ``"evaluator"``.
    name : str
        What the user wrote.
    known : iterable of str
        The names that exist.
    hint : str, optional
        One more sentence.

    Returns
    -------
    UserError
        Names the nearest match, or else everything there is.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    advice = f"did you mean '{near[0]}'?" if near else f"there is {shown or 'none'}."
    return UserError(f"no {what} is named '{name}': {advice}{' ' + hint if hint else ''}")


def one_line(error: Exception, limit: int = 300) -> str:
    """Message of any error in one line of at most ``limit`` characters; the name of its type if it has no message."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def describe_error(error: Exception) -> str:
    """One line for a validation error: the first complaint and where it is."""
    complaints: list[Any] = getattr(error, "errors", list)()
    if not complaints:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    first = complaints[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    message = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return f"{place}: {message}{more}"
