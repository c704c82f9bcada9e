"""Which processes there are: those that a test has started must be gone after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil


def alive(pid: int) -> bool:
    """Whether a process exists and is not only waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(path: Path) -> list[int]:
    """Process ids that evaluators have written to a file, one a line."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so; fail if it takes long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
