"""Runs jobs in worker processes that are forked from a server, which has imported all packages once.

Importing OpenDataVal takes many seconds, so no cell should pay for it. Because every job has its own process, a cell
that is killed or crashes stops no other cell, and the memory it takes can be measured. How such a process ends is
decided in `dvbench.execution.keeper`.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from dvbench.execution.environment import resolve_device
from dvbench.execution.failures import error_line
from dvbench.execution.job_queue import Job, JobQueue
from dvbench.execution.keeper import keep
from dvbench.execution.limits import Limits, TimedOutError, enforced
from dvbench.results import Result, Store

ResultCallback = Callable[[Result], None]
THREADS = "OMP_NUM_THREADS"
DONE, ERROR = "done", "error"
LONGEST_MESSAGE = 10_000  # bytes; what is longer was not sent by `_work`
ATTEMPTS = 10  # to start a worker, in as many tenths of a second
GRACE = 5.0  # seconds in which a worker records that its time is up, before it is ended
LONGEST_WAIT = 3600.0  # seconds; the system waits 24 days at most
PATIENCE = 10.0  # seconds in which a keeper ends its processes, before it is killed itself


def start_server(jobs: int, packages: Sequence[str] = ()) -> None:
    """Start the server that worker processes are forked from, unless it is running.

    It imports what all workers need while the caller continues, and other packages that the caller names.
    """
    if not jobs:
        return
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"  # the server inherits it; this process goes on with as many threads as before
    try:
        forkserver.set_forkserver_preload(["dvbench.execution.preload", *packages])
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before


def run_queue(
    queue: JobQueue, store: Store, device: str, jobs: int, on_valued: ResultCallback, limits: Limits
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
    limits : Limits
        A cell that exceeds them has failed.

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
            seconds = min(worker.seconds_left for worker in running)
            wait([worker.process.sentinel for worker in running], min(seconds, LONGEST_WAIT))
            for worker in [worker for worker in running if worker.has_ended()]:
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
            worker.end()


class _WorkerProcess:
    """A process that does one job, and writes to a pipe the name of every cell whose result it has written."""

    def __init__(self, job: Job, store: Store, device: str, limits: Limits) -> None:
        context = multiprocessing.get_context("forkserver")
        self.job = job
        self._limits = limits
        self._timed_out = False
        self._written, worker_end = context.Pipe(duplex=False)
        # The server has the environment of the time when it was started.
        variables = {name: value for name, value in os.environ.items() if name.startswith("DVBENCH_")}
        # A daemon, so that the exit of this process never waits for it.
        self.process = context.Process(
            target=_keep, args=(job, store, device, limits, worker_end, variables), daemon=True
        )
        with _hidden_main_module():
            _start(self.process)
        self._started = time.monotonic()
        worker_end.close()

    @property
    def seconds_left(self) -> float:
        """Seconds until the process is ended, which is after it should have ended itself; infinite without a limit."""
        limit = self._limits.times(len(self.job.cells)).seconds
        return max(0.0, self._started + (math.inf if limit is None else limit + GRACE) - time.monotonic())

    def has_ended(self) -> bool:
        """Whether the process has ended; it is ended here if it is far over its time limit."""
        if self.process.is_alive() and self.seconds_left == 0:
            self._timed_out = True
            self.end()
        return not self.process.is_alive()

    def end(self) -> None:
        """End the process and all that it has started."""
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()

    def results(self, store: Store, queue: JobQueue) -> Iterator[Result]:
        """Yield what the process wrote before it ended, and a failure for a cell that it did not finish.

        If several cells are unfinished, one of them may have ended the process, so each is queued to be scored alone.
        """
        self.process.join()
        messages = list(_messages(self._written))
        for cell in self.job.cells:
            # A result on disk may be of an earlier run, so it does not show that the cell is finished.
            if (DONE, cell.key.folder) in messages and (result := store.read(cell.key)):
                yield result
            elif len(self.job.cells) > 1:
                queue.score_alone(cell)
            else:
                errors = [text for kind, text in messages if kind == ERROR]
                yield self.job.record_failure(cell, store, errors[0] if errors else self._ending())

    def _ending(self) -> str:
        if self._timed_out and self._limits.seconds:
            return str(TimedOutError(self._limits.seconds))
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"the worker process ended with exit code {code}"
        return f"the worker process was killed by {_signal_name(-code)}" + " (out of memory?)" * (
            code == -signal.SIGKILL
        )


def _start(process: BaseProcess) -> None:
    """Start a process, and the server again if it was killed, even at this moment."""
    for attempts_left in reversed(range(ATTEMPTS)):
        start_server(1)
        try:
            process.start()
            break
        except (EOFError, ConnectionError):
            if not attempts_left:
                raise
            time.sleep(0.1)


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


def _messages(pipe: Connection) -> Iterator[tuple[str, str]]:
    """Read what `_work` sent. Code of evaluators may have written to the pipe too, so anything may be in it."""
    with pipe, suppress(EOFError, OSError):
        while pipe.poll():
            kind, _, text = pipe.recv_bytes(LONGEST_MESSAGE).decode(errors="replace").partition(" ")
            yield kind, text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _keep(*arguments: Any) -> None:
    keep(partial(_work, *arguments))


def _work(
    job: Job, store: Store, device: str, limits: Limits, written: Connection, variables: Mapping[str, str]
) -> None:
    os.environ.update(variables)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard_stream in range(3):  # code in C and processes that the work starts do not use sys.stdout
        os.dup2(nowhere, standard_stream)
    import torch

    torch.set_num_threads(1)
    try:
        with enforced(limits.times(len(job.cells))):
            for result in job.run(store, resolve_device(device)):
                written.send_bytes(f"{DONE} {result.cell.key.folder}".encode())
    except BaseException as error:  # evaluators can raise KeyboardInterrupt, too
        written.send_bytes(f"{ERROR} {error_line(error)}".encode(errors="replace")[:LONGEST_MESSAGE])
