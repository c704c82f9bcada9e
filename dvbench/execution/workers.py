"""Runs jobs in worker processes that are forked from a server, which has imported all packages once.

Importing OpenDataVal takes many seconds, so no cell should pay for it. Because every job has its own process, a cell
that is killed or crashes stops no other cell, and the memory it takes can be measured.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from types import ModuleType

from dvbench.execution.environment import resolve_device
from dvbench.execution.job_queue import Job, JobQueue
from dvbench.execution.limits import NO_LIMITS, TIMED_OUT, Limits, TimedOutError, enforced
from dvbench.results import Result, Store

ResultCallback = Callable[[Result], None]
THREADS = "OMP_NUM_THREADS"
NO_TIME = 124  # exit code of a process whose time was up before it could record that


def start_server(jobs: int) -> None:
    """Start the server that worker processes are forked from. It imports packages while the caller continues."""
    if not jobs:
        return
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"  # the server inherits it; this process goes on with as many threads as before
    try:
        forkserver.set_forkserver_preload(["dvbench.execution.preload"])
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before


def run_queue(
    queue: JobQueue, store: Store, device: str, jobs: int, on_valued: ResultCallback, limits: Limits = NO_LIMITS
) -> Generator[Result]:
    """Do all jobs of a queue in worker processes, at most ``jobs`` at a time.

    Every process uses one thread, so that values do not depend on ``jobs``. When the caller closes the generator,
    running processes are ended, and what they have not finished is not written.

    Parameters
    ----------
    queue : JobQueue
    store : Store
    device : str
    jobs : int
        At least 1.
    on_valued : callable
        Called with the result of a cell that is valued and not yet scored.
    limits : Limits, optional
        Limits of a cell.

    Yields
    ------
    Result
        Finished cells, in the order in which they finish.
    """
    running = list[_WorkerProcess]()
    try:
        while True:
            while len(running) < jobs and (job := queue.next()):
                running.append(_WorkerProcess(job, store, device, limits))
            if not running:
                return
            wait([worker.process.sentinel for worker in running])
            for worker in [worker for worker in running if not worker.process.is_alive()]:
                running.remove(worker)
                for result in worker.results(store, queue):
                    if queue.add_result(worker.job, result):
                        yield result
                    else:
                        on_valued(result)
    finally:
        for worker in running:
            worker.process.terminate()
        for worker in running:
            worker.process.join()


class _WorkerProcess:
    """A process that does one job, and writes to a pipe the name of every cell whose result it has written."""

    def __init__(self, job: Job, store: Store, device: str, limits: Limits) -> None:
        context = multiprocessing.get_context("forkserver")
        self.job = job
        self._written, worker_end = context.Pipe(duplex=False)
        # The server has the environment of the time when it was started.
        variables = {name: value for name, value in os.environ.items() if name.startswith("DVBENCH_")}
        self.process = context.Process(target=_work, args=(job, store, device, limits, worker_end, variables))
        with _hidden_main_module():
            self.process.start()
        worker_end.close()

    def results(self, store: Store, queue: JobQueue) -> Iterator[Result]:
        """Yield what the process wrote before it ended, and a failure for a cell that it did not finish.

        If several cells are unfinished, one of them may have ended the process, so each is queued to be scored alone.
        """
        self.process.join()
        names = set(_messages(self._written))
        for cell in self.job.cells:
            # A result on disk may be of an earlier run, so it does not show that the cell is finished.
            if cell.key.folder in names and (result := store.read(cell.key)):
                yield result
            elif len(self.job.cells) > 1:
                queue.score_alone(cell)
            else:
                yield self.job.record_failure(cell, store, f"the worker process {_ending(self.process.exitcode)}")


@contextmanager
def _hidden_main_module() -> Iterator[None]:
    """Hide the script that is being run from `multiprocessing`, which would run it again in every worker process.

    Jobs need nothing from it, and a script that calls `dvbench.run` needs no ``if __name__ == "__main__"`` this way.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _messages(pipe: Connection) -> Iterator[str]:
    with pipe:
        try:
            while pipe.poll():
                yield pipe.recv_bytes().decode()
        except EOFError:
            return


def _ending(exitcode: int | None) -> str:
    if exitcode == NO_TIME:
        return TIMED_OUT
    if exitcode is None or exitcode >= 0:
        return f"ended with exit code {exitcode}"
    return f"was killed by {signal.Signals(-exitcode).name}" + " (out of memory?)" * (exitcode == -signal.SIGKILL)


def _work(
    job: Job, store: Store, device: str, limits: Limits, written: Connection, variables: Mapping[str, str]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent process handles it
    os.environ.update(variables)
    import torch

    torch.set_num_threads(1)
    try:
        with enforced(limits.times(len(job.cells))):
            for result in job.run(store, resolve_device(device)):
                written.send_bytes(result.cell.key.folder.encode())
    except TimedOutError:
        sys.exit(NO_TIME)
