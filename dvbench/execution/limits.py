"""Limits on the wall time and the memory of a piece of work, so that a run or a verification always ends.

`enforced` limits the work of this process. It can stop neither native code that never returns nor code that catches
every exception, so a parent process kills a worker that has not ended some time after its limit.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dvbench.errors import UserError

TIMED_OUT = "timed out"
# Beginnings of the errors that Python, torch on the CPU and on a GPU, and the parent of a killed process report.
EXCEEDED = re.compile(
    rf"(second valuation: )?({TIMED_OUT}\b|MemoryError\b|OutOfMemoryError\b|RuntimeError: \[enforce fail at alloc_cpu"
    rf"|the worker process (was killed by SIGKILL|{TIMED_OUT}))"
)


@dataclass(frozen=True)
class Limits:
    """Limits of a piece of work; None is no limit.

    Parameters
    ----------
    seconds : float, optional
        Wall time.
    memory : int, optional
        Bytes that a process may allocate in addition to what it has when the work starts.
    """

    seconds: float | None = None
    memory: int | None = None

    def times(self, cells: int) -> Limits:
        """Return the limits of work that is done for so many cells: the time is that of all of them."""
        return Limits(None if self.seconds is None else self.seconds * max(cells, 1), self.memory)


NO_LIMITS = Limits()


class TimedOutError(UserError):
    """Work has taken longer than its limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{TIMED_OUT}: it took longer than {seconds:g} s")


@contextmanager
def enforced(limits: Limits) -> Iterator[None]:
    """Limit the work inside of the ``with`` block, and restore the limits that were there before.

    An allocation that exceeds the memory fails with an error of Python, numpy or torch. On Linux the limit is that of
    private memory, RLIMIT_DATA, which child processes inherit; elsewhere memory is not limited. In the main thread a
    timer interrupts the work, and again each tenth of the time later, because the work may catch the exception. Other
    threads are not interrupted.

    Raises
    ------
    TimedOutError
        If the work takes longer than ``limits.seconds``.
    """
    with _memory(limits.memory), _time(limits.seconds):
        yield


def exceeded(error: str | None) -> bool:
    """Whether the recorded error of a cell or of a task says that its time or its memory was not enough."""
    return error is not None and EXCEEDED.match(error) is not None


@contextmanager
def _memory(more: int | None) -> Iterator[None]:
    allocated = _allocated()
    if more is None or allocated is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = min([allocated + more, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _allocated() -> int | None:
    """Return the bytes of private memory of this process, or None where the system does not report them."""
    try:
        return int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return None


@contextmanager
def _time(seconds: float | None) -> Iterator[None]:
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TimedOutError(seconds)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, max(1.0, seconds / 10))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
