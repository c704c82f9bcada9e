"""Faults that tests cause: full disks and wrong clocks. Python reads ``sitecustomize`` when a process starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ending_runs import arrays, start_run, write_inputs

from dvbench.results import Store

CELLS = 6
SHORT = "import dvbench.execution.claims as claims\nclaims.BEAT_SECONDS, claims.EXPIRY_SECONDS = 0.2, 4.0\n"
# What files are stamped with too is wrong, as by a server of files whose clock is wrong.
WRONG_CLOCK = """
import os, time
right, touch, hours = time.time, os.utime, float(os.environ.get("WRONG_HOURS", 0))
time.time = lambda: right() + 3600 * hours
os.utime = lambda path, times=None, **more: touch(path, times or (time.time(),) * 2, **more)
"""
NO_SPACE = """
import errno, os
from pathlib import Path
actual, folder = Path.open, Path(os.environ["FULL_DISK"])
def open_if_there_is_space(path, mode="r", *how, **more):
    if mode == "xb" and folder in path.parents and not (folder.parent / "space").exists():
        if len(list(folder.rglob("values.npy"))) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
    return actual(path, mode, *how, **more)
Path.open = open_if_there_is_space
"""
TMPFS_BYTES = 64 * 1024  # a few cells


def write_all(folder: Path, code: str = "", evaluators: tuple[str, ...] = ("loose_ending:Quick", "random")) -> None:
    """Write a suite of `CELLS` cells, evaluators, and what every process does when it starts."""
    write_inputs(folder, evaluators, seeds=CELLS // len(evaluators))
    (folder / "sitecustomize.py").write_text(SHORT + code)


def _grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)


def finish(run: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = run.communicate(timeout=1500)
    return run.returncode, out, err


def undisturbed(folder: Path) -> dict[str, bytes]:
    """All arrays of a run of the same suite that nothing disturbs."""
    code, _, err = finish(start_run(folder, "--jobs", 2, "--results", "undisturbed"))
    assert code == 0, err
    whole = arrays(folder / "undisturbed")
    assert len(whole) >= CELLS
    return whole


def assert_all_are_as(whole: dict[str, bytes], results: Path) -> None:
    """Assert that a run has the arrays of another, no failure and no claims."""
    assert arrays(results) == whole
    assert [result.status for result in Store(results).results("ending")] == ["ok"] * CELLS
    assert not (results / ".claims").exists()


def start_merge(folder: Path) -> subprocess.Popen[str]:
    """Start ``dvbench merge part1 part2 --into united``."""
    command = [sys.executable, "-m", "dvbench", "merge", "part1", "part2", "--into", "united"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(folder)])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A disk at ``folder`` that is soon full: yields what processes need for it, and what makes space.

    It is a real one if this user can mount one, else writing is made to fail.
    """
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = sys.platform == "linux" and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        os.environ["FULL_DISK"] = str(folder)
        yield NO_SPACE, (folder.parent / "space").touch
        return
    try:
        yield "", partial(_grow, folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
