"""Where a cell runs: hardware, package versions, and how much memory it takes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from dvbench.errors import UserError
from dvbench.results import Environment

PACKAGES = ("datasets", "numpy", "opendataval", "pandas", "scikit-learn", "scipy", "torch", "torchvision")


def describe_environment(device: str) -> Environment:
    """Describe this machine and its packages."""
    name = device
    if device == "cuda":
        import torch

        name = torch.cuda.get_device_name()
    return Environment(
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        device=name,
        python=platform.python_version(),
        packages={package: version(package) for package in PACKAGES},
    )


def check_device(asked: str) -> None:
    """Raise a `UserError` if CUDA is asked for and there is none."""
    if asked == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("torch finds no CUDA device here; use --device cpu")


def resolve_device(asked: str) -> str:
    """Turn ``auto`` into ``cuda`` where there is a GPU and ``cpu`` elsewhere."""
    import torch

    return asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def default_jobs(asked: str) -> int:
    """How many cells run at a time if nobody says: one a core, or one where they would share a GPU."""
    return 1 if resolve_device(asked) == "cuda" else os.cpu_count() or 1


class Memory:
    """What `watch_memory` saw: ``peak`` and ``peak_cuda``, in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        self.peak_cuda = 0


@contextmanager
def watch_memory(device: str) -> Iterator[Memory]:
    """Measure by how much the resident set grows at its peak, and the most that torch allocates on the GPU.

    On Linux the high-water mark is reset first; elsewhere it is that of the process's life, which for a worker is its
    one cell.
    """
    import torch

    seen = Memory()
    start = _reset_peak()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield seen
    finally:
        seen.peak = max(0, _peak() - start)
        if device == "cuda":
            seen.peak_cuda = torch.cuda.max_memory_allocated(device)


def _reset_peak() -> int:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """High-water mark of the resident set in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
