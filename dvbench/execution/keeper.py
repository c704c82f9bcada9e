"""Runs a job in a child process and leaves nothing of it behind, whatever the job does and whoever is killed.

The process that does a job runs code of others: it may start processes, detach them, or never end. So it gets a parent,
its keeper, which runs none of that code. The keeper ends the job and all processes that came from it as soon as the
job is done, as soon as it is told to by SIGTERM, and as soon as the main process is gone, even if that was killed.

On Linux the keeper adopts processes that were detached, and the job is killed if its keeper is. Elsewhere processes
that left the job's process group are not found.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h
POLL = 0.1  # seconds, where the end of a process cannot be waited for together with other events


def end_with_parent(signal_number: int) -> None:
    """Ask the kernel to send this process a signal when its parent ends; 0 takes that back. Linux only."""
    _prctl(PR_SET_PDEATHSIG, signal_number)


def keep(work: Callable[[], None]) -> NoReturn:
    """Do work in a child process, end with the exit code or the signal with which it ends, and leave nothing behind.

    Parameters
    ----------
    work : callable
        Called in the child process, which has a process group of its own, so that signals that it sends to its group
        reach nobody else.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    end_with_parent(signal.SIGTERM)
    keeper = os.getpid()
    child = os.fork()
    if not child:
        _do(work, keeper)
    try:
        with suppress(OSError):
            os.setpgid(child, child)  # here too, because the child may not have done it yet when its group is killed
        status = _wait_for(child)
    finally:
        _end_all(child)
    _end_like(status)


def _do(work: Callable[[], None], keeper: int) -> NoReturn:
    """Do the work, and exit without waiting for threads that it has started."""
    code = 1
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        end_with_parent(signal.SIGKILL)
        if os.getppid() == keeper:  # otherwise it has ended before it was watched
            multiprocessing.current_process().daemon = False  # the work may start processes
            work()
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _wait_for(child: int) -> int:
    """Wait until a child process ends and return its status. Exit if the main process ends before."""
    main = multiprocessing.parent_process()
    watched = [] if main is None else [main.sentinel]
    pause: float | None = POLL
    with suppress(AttributeError, OSError):  # Linux since 5.3
        watched.append(os.pidfd_open(child))
        pause = None
    while True:
        ended = wait(watched, pause)
        if main is not None and main.sentinel in ended:
            _leave()
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status


def _end_all(child: int) -> None:
    """Kill the child's process group, and then whatever was adopted, until no process is left."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            for pid in _children():
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    """Return the child processes of this one, dead ones included; none where the system does not list them."""
    with suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def _end_like(status: int) -> NoReturn:
    """End with the exit code or by the signal of a status that `os.waitpid` has returned."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _leave(*_: object) -> NoReturn:
    raise SystemExit(1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
