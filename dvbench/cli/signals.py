"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is finished is kept, and its processes are ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ending_by_signals() -> Iterator[list[int]]:
    """Raise `KeyboardInterrupt` in the context at SIGTERM and SIGHUP, and yield the list of the signals received.

    A signal that the caller ignores is ignored, as ``nohup`` does with SIGHUP, and so is one that it handles itself.
    """
    received: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    changed = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, end)
    try:
        yield received
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
