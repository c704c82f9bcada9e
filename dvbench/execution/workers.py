"""Runs cells in this process or in others, each forked from a server that has imported everything once.

Importing OpenDataVal takes many seconds, so no cell may pay for it. A process of its own means that a cell that is
killed or crashes takes nothing with it, and that its memory can be measured.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait

from dvbench.execution.environment import resolve_device
from dvbench.execution.job_queue import Job, JobQueue
from dvbench.results import Cell, Result, Store

OnValued = Callable[[Result], None]


def start_server(jobs: int) -> None:
    """Start the server that worker processes are forked from, which then imports while the caller goes on."""
    if jobs:
        os.environ["OMP_NUM_THREADS"] = "1"
        forkserver.set_forkserver_preload(["dvbench.execution.preload"])
        forkserver.ensure_running()


def run_here(
    cells: Sequence[Cell], store: Store, device: str, on_valued: OnValued = lambda _: None
) -> Generator[Result]:
    """Run cells in this process, one thing after the other; see `run_in_workers`."""
    return _here(JobQueue(cells), store, device, on_valued)


def score_here(cells: Sequence[Cell], store: Store, device: str) -> Generator[Result]:
    """Score cells whose values are on disk in this process; see `score_in_workers`."""
    return _here(JobQueue(valued=cells), store, device, lambda _: None)


def _here(agenda: JobQueue, store: Store, device: str, on_valued: OnValued) -> Generator[Result]:
    device = resolve_device(device)
    while job := agenda.next():
        for result in job.run(store, device):
            if agenda.take(job, result):
                yield result
            else:
                on_valued(result)


def run_in_workers(
    cells: Sequence[Cell], store: Store, device: str, jobs: int, on_valued: OnValued = lambda _: None
) -> Generator[Result]:
    """Run cells in processes of `start_server`, at most ``jobs`` at a time.

    Every process uses one thread, so that values do not depend on ``jobs``. When the caller stops early, running
    processes are ended; what they had not finished is not written.

    Parameters
    ----------
    cells : sequence of Cell
    store : Store
    device : str
    jobs : int
    on_valued : callable, optional
        Called with the result of a cell that is valued and waits to be scored.

    Returns
    -------
    generator of Result
        In the order in which cells finish.
    """
    return _in_workers(JobQueue(cells), store, device, jobs, on_valued)


def score_in_workers(cells: Sequence[Cell], store: Store, device: str, jobs: int) -> Generator[Result]:
    """Score cells whose values are on disk, in processes as in `run_in_workers`; their evaluators are not needed."""
    return _in_workers(JobQueue(valued=cells), store, device, jobs, lambda _: None)


def _in_workers(agenda: JobQueue, store: Store, device: str, jobs: int, on_valued: OnValued) -> Generator[Result]:
    running = list[_Worker]()
    try:
        while True:
            while len(running) < jobs and (job := agenda.next()):
                running.append(_Worker(job, store, device))
            if not running:
                return
            wait([worker.process.sentinel for worker in running])
            for worker in [worker for worker in running if not worker.process.is_alive()]:
                running.remove(worker)
                for result in worker.results(store, agenda):
                    if agenda.take(worker.job, result):
                        yield result
                    else:
                        on_valued(result)
    finally:
        for worker in running:
            worker.process.terminate()
        for worker in running:
            worker.process.join()


class _Worker:
    """A process that does a job, and names in a pipe every result it has written."""

    def __init__(self, job: Job, store: Store, device: str) -> None:
        context = multiprocessing.get_context("forkserver")
        self.job = job
        self._written, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(job, store, device, theirs))
        self.process.start()
        theirs.close()

    def results(self, store: Store, agenda: JobQueue) -> Iterator[Result]:
        """What a process that has ended wrote, and the failure of a cell that it did not finish.

        Of several unfinished cells one may be to blame, so that each is scored alone.
        """
        self.process.join()
        names = set(_messages(self._written))
        for cell in self.job.cells:
            # What is on disk does not tell whether it is finished: it may be from an earlier run.
            if cell.key.folder in names and (result := store.read(cell.key)):
                yield result
            elif len(self.job.cells) > 1:
                agenda.score_alone(cell)
            else:
                yield self.job.give_up(cell, store, f"the worker process {_ending(self.process.exitcode)}")


def _messages(pipe: Connection) -> Iterator[str]:
    with pipe:
        try:
            while pipe.poll():
                yield pipe.recv_bytes().decode()
        except EOFError:
            return


def _ending(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"ended with exit code {exitcode}"
    return f"was killed by {signal.Signals(-exitcode).name}" + " (out of memory?)" * (exitcode == -signal.SIGKILL)


def _work(job: Job, store: Store, device: str, written: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    import torch

    torch.set_num_threads(1)
    for result in job.run(store, resolve_device(device)):
        written.send_bytes(result.cell.key.folder.encode())
