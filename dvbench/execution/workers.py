"""Runs cells, each in a process of its own, forked from a server that has imported everything once.

Importing OpenDataVal takes many seconds, so no cell may pay for it. A process of its own means that a cell that is
killed or crashes takes nothing with it, and that its memory can be measured.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from dvbench.execution.environment import resolve_device
from dvbench.execution.resume import crashed
from dvbench.results import Cell, Result, Store

PRELOAD = [
    "opendataval.dataval",
    "opendataval.experiment.util",
    "sklearn.datasets",
    "dvbench.execution.cells",
    "dvbench.execution.workers",
]


def start_server(jobs: int) -> None:
    """Start the server that worker processes are forked from, which then imports while the caller goes on."""
    if jobs:
        os.environ["OMP_NUM_THREADS"] = "1"
        forkserver.set_forkserver_preload(PRELOAD)
        forkserver.ensure_running()


def run_here(cells: Sequence[Cell], store: Store, device: str) -> Generator[Result]:
    """Run cells one after the other in this process."""
    from dvbench.execution.cells import run_cell

    device = resolve_device(device)
    for cell in cells:
        yield run_cell(cell, store, device)


def run_in_workers(cells: Sequence[Cell], store: Store, device: str, jobs: int) -> Generator[Result]:
    """Run cells, at most ``jobs`` at a time, each in a process of its own.

    Every process uses one thread, so that values do not depend on ``jobs``. When the caller stops early, running
    processes are ended; what they had not finished is not written.

    Yields
    ------
    Result
        In the order in which cells finish.
    """
    start_server(jobs)
    context = multiprocessing.get_context("forkserver")
    waiting, running = list(reversed(cells)), dict[ForkServerProcess, Cell]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop()
                process = context.Process(target=_work, args=(cell.model_dump_json(), str(store.root), device))
                process.start()
                running[process] = cell
            wait([process.sentinel for process in running])
            for process in [process for process in running if not process.is_alive()]:
                process.join()
                yield _collect(running.pop(process), process.exitcode, store)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _collect(cell: Cell, exitcode: int | None, store: Store) -> Result:
    if exitcode == 0 and (result := store.read(cell.key)) is not None:
        return result
    reason = f"ended with exit code {exitcode}"
    if exitcode is not None and exitcode < 0:
        reason = f"was killed by {signal.Signals(-exitcode).name}"
        reason += " (out of memory?)" if exitcode == -signal.SIGKILL else ""
    return crashed(cell, store, f"the worker process {reason}")


def _work(cell: str, root: str, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    import torch

    from dvbench.execution.cells import run_cell

    torch.set_num_threads(1)
    run_cell(Cell.model_validate_json(cell), Store(Path(root)), resolve_device(device))
