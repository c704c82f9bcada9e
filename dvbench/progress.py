"""How much of a long computation is done: told from inside it to whoever listens, if anybody does. Times in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MINUTES, HOURS = 60.0, 5400.0  # seconds from which on a time is said in these


def time_in_words(seconds: float) -> str:
    """Write a time in seconds with two digits, in minutes or in hours."""
    if seconds < MINUTES:
        return f"{seconds:.2g} s"
    number, unit = (seconds / 60, "min") if seconds < HOURS else (seconds / 3600, "h")
    return f"{number:.0f} {unit}" if number >= 10 or number == int(number) else f"{number:.1f} {unit}"


_listener: ContextVar[Callable[[float], None] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Callable[[float], None] | None) -> Iterator[None]:
    """Tell a function the part that is done, from 0 to 1, while the code in this context computes."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def advance(done: float, total: float) -> None:
    """Tell that ``done`` of ``total`` is done."""
    if (listener := _listener.get()) is not None:
        listener(done / total)


@contextmanager
def part(first: float, last: float, total: float) -> Iterator[None]:
    """Of ``total``, what is computed in this context is from ``first`` to ``last``; at its end ``last`` is done."""
    outer = _listener.get()

    def tell(done: float) -> None:
        if outer is not None:
            outer((first + done * (last - first)) / total)

    with listening(None if outer is None else tell):
        yield
    advance(last, total)
