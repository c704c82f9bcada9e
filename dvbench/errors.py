"""`UserError`, for errors that a user can correct, and helpers that build its messages.

The texts of exceptions and of results are not trusted: they may be very long, and may have characters that move the
cursor, change the direction of the text, or cannot be encoded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST_ERROR = 2000  # characters of an error that is recorded
LONGEST_SHOWN = 60  # characters of a cell that a message quotes


class UserError(Exception):
    """A request of the user cannot be carried out; the message is one line that says what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class DeclinedError(UserError):
    """An evaluator does not apply to a problem of this kind, such as one that compares class labels to a regression.

    Raised by its constructor, ``input_data`` or before it computes anything. The cell is recorded as declined with the
    message: it is not computed again, and does not count against the evaluator. What makes the difference has to be the
    kind of problem, so that an evaluator declines all seeds of a problem or none.
    """


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """Build the error for a name that is not known.

    Parameters
    ----------
    what : str
        The kind of thing, such as ``"evaluator"``.
    name : str
        What the user wrote.
    known : iterable of str
        The known names.
    hint : str, optional
        One more sentence.

    Returns
    -------
    UserError
        Its message suggests the most similar name, or one that contains it, or else lists the known names (the first
        20).
    """
    names = sorted(known)
    similar = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not similar and len(name) > 1:  # 'knn' is less similar to 'knn_shapley' than the cutoff
        similar = [known for known in names if name.casefold() in known.casefold()]
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    choices = f"choose one of {listed}." if names else "there are none."
    advice = f"did you mean '{similar[0]}'?" if similar else choices
    return UserError(f"no {what} is named '{name}': {advice}{' ' + hint if hint else ''}")


def plain(text: object, longest: int = 300) -> str:
    """Put any text on one line of printable characters, and cut it after ``longest`` characters.

    Control and direction characters and lone surrogates become question marks.
    """
    start = str.__getitem__(str(text), slice(0, 10 * longest))  # of a str, whatever class the text has
    words = " ".join(start.split())
    line = words if words.isprintable() else "".join(one if one.isprintable() else "?" for one in words)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def counted(number: int, thing: str) -> str:
    """Format a number with its noun: ``1 cell``, ``2 cells``."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def one_line(error: BaseException, limit: int = 300) -> str:
    """Message of any error in one line of at most ``limit`` characters; the name of its type if it has no message."""
    try:
        message = plain(error, limit)
    except (Exception, SystemExit):  # an exception of another package may fail to print
        message = ""
    return message or type_name(error)


def type_name(error: BaseException) -> str:
    """Name of the type of an error, which another package may have given any name."""
    return plain(type.__dict__["__name__"].__get__(type(error)), 100)


def validation_message(error: Exception, whole: str = "the file") -> str:
    """Summarise a validation error in one line: the location and message of its first complaint.

    Parameters
    ----------
    error : Exception
    whole : str
        What a complaint is about that has no location.
    """
    complaints: list[Any] = getattr(error, "errors", list)()
    if not complaints:
        return one_line(error)
    first = complaints[0]
    location = ".".join(map(str, first["loc"])) or whole
    message = first["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list").replace("Tuple", "List")
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return f"{plain(location)}: {plain(message)}{more}"
