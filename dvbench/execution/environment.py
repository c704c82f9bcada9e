"""Reads the hardware and the package versions with which cells are computed, and measures memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from dvbench.errors import UserError, unknown
from dvbench.results import Environment

DEVICES = ("auto", "cpu", "cuda")
PACKAGES = ("datasets", "numpy", "opendataval", "pandas", "scikit-learn", "scipy", "torch", "torchvision")


def current_environment(device: str) -> Environment:
    """Return the hardware of this machine and the versions of its packages."""
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
        packages=dict(package_versions()),
    )


@cache
def package_versions() -> tuple[tuple[str, str], ...]:
    """Return names and versions of the packages that decide what is computed; reading them takes a while."""
    return tuple((package, version(package)) for package in PACKAGES)


def check_device(device: str) -> None:
    """Raise a `UserError` if ``device`` is not known, or is ``cuda`` and there is no GPU."""
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("torch finds no CUDA device on this machine; use the device cpu")


def resolve_device(device: str) -> str:
    """Replace ``auto`` by ``cuda`` if there is a GPU, and by ``cpu`` otherwise."""
    import torch

    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def default_jobs(device: str) -> int:
    """Return how many cells run at a time by default: one for each core, or one in all on a GPU."""
    return 1 if resolve_device(device) == "cuda" else os.cpu_count() or 1


class PeakMemory:
    """Memory measured by `watch_memory` in bytes: ``peak`` of this process, ``peak_cuda`` of the GPU."""

    def __init__(self) -> None:
        self.peak = 0
        self.peak_cuda = 0


@contextmanager
def watch_memory(device: str) -> Iterator[PeakMemory]:
    """Measure the growth of the resident set up to its peak, and the largest allocation of torch on the GPU.

    On Linux the peak is reset first. Elsewhere it is the peak since the process started, which for a worker process is
    the start of its only job.
    """
    import torch

    memory = PeakMemory()
    start = _reset_peak()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield memory
    finally:
        memory.peak = max(0, _peak() - start)
        if device == "cuda":
            memory.peak_cuda = torch.cuda.max_memory_allocated(device)


def _reset_peak() -> int:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """Return the peak of the resident set in bytes."""
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
