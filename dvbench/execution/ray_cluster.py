"""Does the jobs of a queue on a Ray cluster, one task a job.

A task does its job in a worker process, as a run on one machine does, so values, limits and failures are the same. The
files of its cells travel as an archive, as bytes in both directions, and only this process writes to the results
folder. An archive that comes back is read like a results folder of somebody else: names that are expected, JSON and
plain arrays. A job whose node is lost is done again, and one that lacks memory with more memory.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args
from zipfile import BadZipFile, ZipFile

from dvbench.errors import UserError, one_line
from dvbench.execution.costs import Measured, estimate
from dvbench.execution.job_queue import Job, JobQueue, OneJob
from dvbench.execution.limits import TIMED_OUT, Limits, exceeded
from dvbench.execution.workers import PATIENCE, ResultCallback, run_queue, start_server
from dvbench.files import write_atomically
from dvbench.results import ArrayName, Cell, Result, Store
from dvbench.results.store import RESULT
from dvbench.version import __version__

ATTEMPTS = 4  # to do a job, if nodes are lost or memory is not enough
MORE_MEMORY = 2.0
PACKAGES_MEMORY = 1e9  # bytes of a task, which imports torch and OpenDataVal
MOST = 1 << 60
UNKNOWN_MEMORY = int(1e9)  # of a cell that is unlike all measured ones
# Both sides of HTTP/2 begin with a frame of settings, whose fourth byte is 4. The client's frame is empty here.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no reports to Ray's authors
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # no `uv run` on nodes
    "RAY_worker_register_timeout_seconds": "600",  # a worker that imports torch on a busy machine takes minutes
}


@dataclass(frozen=True)
class Attempt:
    """A job that is being done for the ``number``-th time, with so many bytes of memory."""

    job: Job
    memory: int
    number: int = 1


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connect to a Ray cluster, or start one on this machine, and yield the package ``ray``.

    Parameters
    ----------
    address : str, optional
        Of an existing cluster, such as ``10.0.0.1:6379``, or ``auto`` for the one that this machine belongs to.

    Raises
    ------
    UserError
        If Ray is not installed, or there is no such cluster.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UserError("--on ray needs the package ray: pip install 'dvbench[ray]'") from error
    handler = signal.getsignal(signal.SIGTERM)  # which Ray replaces
    try:
        _check_address(address)
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # of this class itself, if a node does not start within Ray's own 30 seconds
        raise UserError(f"cannot use the Ray cluster {address or 'of this machine'}: {one_line(error)}") from error
    try:
        signal.signal(signal.SIGTERM, handler)
        _check_nodes(ray)
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str | None) -> None:
    """Raise an `OSError` if no server of HTTP/2 listens at ``HOST:PORT``, where Ray would try for minutes.

    A head of Ray is one, and its dashboard is not.
    """
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "//" not in host:
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(GREETING)
                if connection.recv(4)[3:] != b"\x04":
                    raise ConnectionError("what listens there is no head of a Ray cluster")


def _check_nodes(ray: Any) -> None:
    """Raise a `UserError` if a node has no dvbench, or another version of it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = [
        ray.remote(_version)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        .remote()
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    ]
    try:
        others = {version for version in ray.get(asked) if version != __version__}
    except ray.exceptions.RayError as error:
        cause = one_line(getattr(error, "cause", error))
        raise UserError(
            f"dvbench {__version__} has to be installed on all nodes of the Ray cluster: {cause}"
        ) from error
    if others:
        raise UserError(f"a node of the Ray cluster has dvbench {others.pop()}: install {__version__} on all of them")


def device_and_slots(ray: Any, device: str) -> tuple[str, int]:
    """Return the device of the cells, and how many of them the cluster computes at a time.

    Raises
    ------
    UserError
        If the cluster has no GPU, and ``device`` is ``cuda``.
    """
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    if device == "cuda" and not gpus:
        raise UserError("no node of the Ray cluster has a GPU; use the device cpu")
    if device == "cpu" or not gpus:
        return "cpu", max(int(resources.get("CPU", 0)), 1)
    return "cuda", gpus


def memory_of_jobs(known: Sequence[Measured], cuda: bool) -> Callable[[Job], int]:
    """Return what estimates how many bytes a job needs; that of scoring is not measured, and is that of valuing."""

    def memory_of(job: Job) -> int:
        costs = [cost for cell in job.cells if (cost := estimate(cell, known, cuda)) is not None]
        return int(PACKAGES_MEMORY + 1.5 * max((cost.memory for cost in costs), default=UNKNOWN_MEMORY))

    return memory_of


def run_queue_on_ray(
    queue: JobQueue,
    store: Store,
    device: str,
    jobs: int,
    on_valued: ResultCallback,
    limits: Limits,
    ray: Any,
    memory_of: Callable[[Job], int],
) -> Generator[Result]:
    """Do all jobs of a queue on a Ray cluster; see `dvbench.execution.workers.run_queue`.

    Parameters
    ----------
    queue, store, device, jobs, on_valued, limits
        As there; at most ``jobs`` tasks are submitted at a time.
    ray : module
        Of `connected`.
    memory_of : callable
        Bytes that a job will need.

    Yields
    ------
    Result
        Finished cells, in the order in which they finish.
    """
    running: dict[Any, Attempt] = {}

    def start(attempt: Attempt) -> None:
        # A task that asks for more than any node has would never be started.
        attempt = replace(attempt, memory=min(attempt.memory, _largest_node(ray)))
        running[_submit(ray, attempt, store, device, limits)] = attempt

    try:
        while True:
            while len(running) < jobs and (job := queue.next()):
                start(Attempt(job, memory_of(job)))
            if not running:
                return
            ended, _ = ray.wait(list(running), timeout=1.0)
            for reference in ended:
                attempt = running.pop(reference)
                again, results = _outcome(ray, reference, attempt, store, queue)
                if again is not None:
                    start(again)
                for result in results:
                    if queue.add_result(attempt.job, result):
                        yield result
                    else:
                        on_valued(result)
            largest = _largest_node(ray)
            for reference in [each for each, attempt in running.items() if attempt.memory > largest]:
                ray.cancel(reference, force=True)  # the only node that had so much is lost
                start(running.pop(reference))
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _submit(ray: Any, attempt: Attempt, store: Store, device: str, limits: Limits) -> Any:
    variables = {name: value for name, value in os.environ.items() if name.startswith("DVBENCH_")}
    options = {"num_cpus": 1, "num_gpus": int(device == "cuda"), "memory": attempt.memory, "max_retries": 0}
    files, paths = packed(store, attempt.job.cells), [str(Path(path).resolve()) for path in sys.path]
    return ray.remote(_work).options(**options).remote(attempt.job, files, device, limits, variables, paths)


def _version() -> str:
    return __version__


def _work(
    job: Job, files: bytes, device: str, limits: Limits, variables: Mapping[str, str], paths: Sequence[str]
) -> bytes:
    """Do a job on a node, in a folder of its own; bytes are not pickled on their way back."""
    sys.path.extend(path for path in paths if path not in sys.path)  # where a user's own evaluators are
    os.environ.update(variables)
    with TemporaryDirectory(prefix="dvbench-ray-") as folder:
        store = Store(Path(folder))
        unpack(files, store, job.cells)
        start_server(1)
        for _ in run_queue(OneJob(job), store, device, 1, lambda _: None, limits):
            pass
        return packed(store, job.cells)


def _outcome(
    ray: Any, reference: Any, attempt: Attempt, store: Store, queue: JobQueue
) -> tuple[Attempt | None, list[Result]]:
    """Return what to do again, or the results of a job, which are written to the store."""
    job, more = attempt.job, attempt.memory
    try:
        with TemporaryDirectory(prefix="dvbench-ray-") as folder:
            received = Store(Path(folder))
            unpack(ray.get(reference), received, job.cells)
            results = [_read(received, cell) for cell in job.cells]
            if not any(_lacked_memory(result) for result in results) or attempt.number == ATTEMPTS:
                return None, [store.copy(result, received) for result in results]
            more = int(more * MORE_MEMORY)
            error = "out of memory"
    except ray.exceptions.OutOfMemoryError as lost:
        more, error = int(more * MORE_MEMORY), f"out of memory: {one_line(lost)}"
    except (ray.exceptions.RayError, BadZipFile) as lost:
        error = f"Ray: {one_line(getattr(lost, 'cause', None) or lost)}"
    if attempt.number < ATTEMPTS:
        return Attempt(job, more, attempt.number + 1), []
    if len(job.cells) > 1:  # one of them may be the reason
        for cell in job.cells:
            queue.score_alone(cell)
        return None, []
    return None, [job.record_failure(cell, store, error) for cell in job.cells]


def _read(received: Store, cell: Cell) -> Result:
    try:
        result = received.read(cell.key)
        if result is not None and result.cell.computes_values_of(cell):
            received.arrays(result)  # checks them
            return result
    except UserError as error:
        raise BadZipFile(one_line(error)) from error
    raise BadZipFile(f"no result of {cell.key} came back")


def _lacked_memory(result: Result) -> bool:
    errors = [result.error, *(score.error for score in result.scores.values())]
    return any(exceeded(error) and TIMED_OUT not in str(error) for error in errors)


def _largest_node(ray: Any) -> int:
    """Bytes of memory that the largest node gives to tasks; of a cluster that has no node now, no limit."""
    return int(max((node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"]), default=0)) or MOST


def packed(store: Store, cells: Sequence[Cell]) -> bytes:
    """Return an archive of the files of cells."""
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        for cell in cells:
            for path in sorted(store.folder(cell.key).glob("[!.]*")):
                archive.write(path, f"{cell.key.folder}/{path.name}")
    return content.getvalue()


def unpack(content: bytes, store: Store, cells: Sequence[Cell]) -> None:
    """Write the files of cells that are in an archive, and no others."""
    files = (RESULT, *(f"{name}.npy" for name in get_args(ArrayName)))
    with ZipFile(io.BytesIO(content)) as archive:
        for name in {f"{cell.key.folder}/{file}" for cell in cells for file in files} & set(archive.namelist()):
            write_atomically(store.root / name, archive.read(name))
