"""Runs a suite, or given cells, in this process or in worker processes. Other packages use execution through this file.

Nothing is printed here: the caller is notified through a `RunObserver`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from dvbench.cache import keep_within_limit
from dvbench.errors import UserError
from dvbench.execution.claims import POLL_SECONDS, Claims, SharedCells
from dvbench.execution.costs import known_costs
from dvbench.execution.environment import check_device, default_jobs, resolve_device
from dvbench.execution.failures import failure_reasons
from dvbench.execution.job_queue import JobQueue
from dvbench.execution.limits import NO_LIMITS, Limits
from dvbench.execution.one_process import run_queue_here
from dvbench.execution.planning import make_plan, merged
from dvbench.execution.resume import unfinished
from dvbench.execution.shards import Shard
from dvbench.execution.suite_checks import check_suite
from dvbench.execution.time_budget import fits_until, most_informative_first
from dvbench.execution.workers import ResultCallback, run_queue, start_server
from dvbench.registry import find
from dvbench.results import Cell, Plan, Result, Store
from dvbench.suite import LONGEST_TIMEOUT, Suite

LANGUAGE_MODELS = ("transformers.models.gpt2.modeling_gpt2", "dvbench.training.language_model")
CLAIMS = ".claims"  # folder in a results folder
Started = TypeVar("Started")


class RunObserver(Protocol):
    """Receives the events of a run, for example to show progress."""

    def on_planned(self, planned: int, to_do: int, jobs: int) -> None:
        """Receive the numbers of planned cells and of unfinished ones, and how many run at a time."""

    def on_valued(self, result: Result) -> None:
        """Receive the result of a cell that is valued and not yet scored."""

    def on_kept(self, result: Result) -> None:
        """Receive the result of a cell that an earlier run valued and did not score."""

    def on_finished(self, result: Result) -> None:
        """Receive the result of a cell that is scored, or whose valuation failed."""

    def on_left_out(self, cells: Sequence[Cell]) -> None:
        """Receive the cells that did not fit into the time of the run, if there are any."""

    def on_waiting(self, cells: Sequence[Cell]) -> None:
        """Receive the cells that other runs are computing, once there is nothing else to do."""


class SilentObserver:
    """A `RunObserver` that does nothing."""

    def on_planned(self, planned: int, to_do: int, jobs: int) -> None:
        """Do nothing."""

    def on_valued(self, result: Result) -> None:
        """Do nothing."""

    def on_kept(self, result: Result) -> None:
        """Do nothing."""

    def on_finished(self, result: Result) -> None:
        """Do nothing."""

    def on_left_out(self, cells: Sequence[Cell]) -> None:
        """Do nothing."""

    def on_waiting(self, cells: Sequence[Cell]) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class RunOptions:
    """How a suite is run.

    Parameters
    ----------
    jobs : int, optional
        How many worker processes run at a time. By default one for each core, or one in all on a GPU. With 0, cells run
        in this process, which is for debugging: a cell that crashes ends the run, and native code is not
        ended at a time limit.
    device : {"auto", "cpu", "cuda"}
        Device on which models are trained.
    mirror : Path, optional
        Folder with the layout of the Hugging Face hub, which is searched before the hub.
    fresh : bool
        Whether finished cells are computed again.
    cell_timeout : float, optional
        Time limit of a cell in seconds. By default that of the suite.
    shard : Shard, optional
        The part of the cells to compute; by default all.
    budget : float, optional
        Seconds after which no other cell is started. Cells that would take longer than what is left are left out.
    on : {"here", "ray"}
        Whether cells are computed on this machine or on a Ray cluster. There ``jobs`` is how many tasks are submitted
        at a time, by default as many as it has cores, or GPUs.
    address : str, optional
        Of the Ray cluster. By default one is started on this machine.
    """

    jobs: int | None = None
    device: str = "auto"
    mirror: Path | None = None
    fresh: bool = False
    cell_timeout: float | None = None
    shard: Shard | None = None
    budget: float | None = None
    on: Literal["here", "ray"] = "here"
    address: str | None = None

    def __post_init__(self) -> None:
        """Refuse engines that there are not."""
        if self.on not in ("here", "ray"):
            raise UserError(f"on is 'here' or 'ray', not {self.on!r}; for SLURM use the command dvbench run --on slurm")
        if self.address is not None and self.on != "ray":
            raise UserError("an address is that of a Ray cluster: compute on 'ray' with it")

    @property
    def processes(self) -> int:
        """Number of worker processes at a time."""
        return default_jobs(self.device) if self.jobs is None else self.jobs


def run_suite(suite: Suite, results: Path, options: RunOptions, observer: RunObserver | None = None) -> int:
    """Run the unfinished cells of a suite and write their results.

    Parameters
    ----------
    suite : Suite
    results : Path
        Results folder. Finished cells in it are kept.
    options : RunOptions
    observer : RunObserver, optional

    Returns
    -------
    int
        How many cells failed, in their valuation or in a task.

    Raises
    ------
    UserError
        If the suite cannot work, a data set cannot be loaded, or a file cannot be read or written.
    KeyboardInterrupt
        Cells that are valued or finished by then are kept.
    """
    observer = observer or SilentObserver()
    limits = _limits(suite, options)
    keep_within_limit()
    with mirror_variable(options.mirror), _engine(suite, results, options) as (run, jobs):
        check_suite(suite)
        store = Store(results)
        plan = make_plan(suite)
        cells = _cells(plan, options)
        with Claims(store.root / CLAIMS) as claims:
            with claims.held(f"{suite.name}: plan"):
                to_do = _prepare(plan, cells, store, options.fresh)
            observer.on_planned(len(cells), len(to_do), jobs)
            shared = SharedCells(store, claims, _in_time(store, suite, options))
            in_order = to_do if options.budget is None else most_informative_first(to_do)
            return _run_shared(in_order, shared, partial(run, store=store, limits=limits), observer)


def planned_cells(suite: Suite, results: Path, options: RunOptions) -> tuple[list[Cell], list[Cell]]:
    """Return the cells that a run of a suite, or of a shard of it, is about, and those of them that are unfinished."""
    _limits(suite, options)
    cells = _cells(make_plan(suite), options)
    return cells, [cell for cell in cells if options.fresh or unfinished(cell, Store(results))]


def prepare_run(suite: Suite, results: Path, options: RunOptions, start: Callable[[], Started]) -> Started:
    """Start runs on other machines, after a check of the suite, and write its plan, which they wait for.

    With ``options.fresh`` earlier results are removed, so these runs are not to do that. Nothing is removed or written
    if ``start`` fails.
    """
    _limits(suite, options)
    with mirror_variable(options.mirror):
        check_suite(suite)
        store, plan = Store(results), make_plan(suite)
        with Claims(store.root / CLAIMS) as claims, claims.held(f"{suite.name}: plan"):
            whole = merged(plan, store.plan(suite.name))
            started = start()
            if options.fresh:
                _remove(_cells(plan, options), store)
            store.write_plan(whole)
            return started


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    device: str,
    jobs: int,
    on_valued: ResultCallback = lambda _: None,
    limits: Limits = NO_LIMITS,
) -> Generator[Result]:
    """Value and score cells.

    Parameters
    ----------
    cells : sequence of Cell
    store : Store
    device : str
    jobs : int
        Worker processes that run at a time; with 0, cells run in this process.
    on_valued : callable, optional
        Called with the result of a cell that is valued and not yet scored.
    limits : Limits, optional
        Limits of the valuation and of the scoring of a cell.

    Returns
    -------
    generator of Result
        Finished cells, in the order in which they finish. Close it to stop early.
    """
    return _run(JobQueue(cells), store, device, jobs, on_valued, limits)


def score_saved_values(
    cells: Sequence[Cell], store: Store, device: str, jobs: int, limits: Limits = NO_LIMITS
) -> Generator[Result]:
    """Score cells whose values are on disk, as in `run_cells`; their evaluators are not needed."""
    return _run(JobQueue(valued=cells), store, device, jobs, lambda _: None, limits)


@contextmanager
def mirror_variable(mirror: Path | None) -> Iterator[None]:
    """Set the environment variable ``DVBENCH_MIRROR``, which worker processes get too, and restore it afterwards."""
    name = "DVBENCH_MIRROR"
    before = os.environ.get(name)
    if mirror is not None and not mirror.is_dir():
        raise UserError(f"the mirror {mirror} is not a folder")
    if mirror is not None:
        os.environ[name] = str(mirror.resolve())
    try:
        yield
    finally:
        if mirror is not None and before is None:
            del os.environ[name]
        elif before is not None:
            os.environ[name] = before


def _limits(suite: Suite, options: RunOptions) -> Limits:
    for what, seconds in (("limit of a cell", options.cell_timeout), ("budget of a run", options.budget)):
        if seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT:
            raise UserError(f"the time {what} is above 0 and at most {LONGEST_TIMEOUT} seconds")
    return Limits(seconds=suite.cell_timeout if options.cell_timeout is None else options.cell_timeout)


@contextmanager
def _engine(suite: Suite, results: Path, options: RunOptions) -> Iterator[tuple[Callable[..., Generator[Result]], int]]:
    """Yield what does the jobs of a queue, and how many at a time."""
    if options.on == "ray":
        from dvbench.execution.ray_cluster import connected, device_and_slots, memory_of_jobs, run_queue_on_ray

        with connected(options.address) as ray:
            device, slots = device_and_slots(ray, options.device)
            memory_of = memory_of_jobs(known_costs(Store(results), suite.name), device != "cpu")
            jobs = options.jobs or slots
            yield partial(run_queue_on_ray, device=device, jobs=jobs, ray=ray, memory_of=memory_of), jobs
        return
    check_device(options.device)
    jobs = options.processes
    start_server(jobs, _packages(suite) if jobs else ())
    yield partial(_run, device=options.device, jobs=jobs), jobs


def _in_time(store: Store, suite: Suite, options: RunOptions) -> Callable[[Cell], bool]:
    if options.budget is None:
        return lambda _: True
    known = known_costs(store, suite.name)
    return fits_until(options.budget, known, resolve_device(options.device) != "cpu")


def _run_shared(
    cells: Sequence[Cell], shared: SharedCells, run: Callable[..., Generator[Result]], observer: RunObserver
) -> int:
    """Run cells until all are finished, by this run or by others on the same folder; return how many failed."""
    failed, told = 0, False
    costs = {cell.key: result.cost for cell in cells if (result := shared.store.read(cell.key))}

    def finish(result: Result) -> None:
        nonlocal failed
        failed += bool(failure_reasons(result))
        observer.on_finished(result)

    def value(result: Result) -> None:
        """Tell what this run valued from what it found: a cell that is valued again has another cost."""
        kept = result.cost is not None and result.cost == costs.get(result.cell.key)
        (observer.on_kept if kept else observer.on_valued)(result)

    while cells:
        with closing(run(JobQueue(cells, fits=shared), on_valued=value)) as stream:
            for result in stream:
                shared.release(result.cell)
                finish(result)
        for result in shared.finished_elsewhere():
            finish(result)
        cells = shared.computed_elsewhere()
        if cells and not told:
            observer.on_waiting(cells)
            told = True
        time.sleep(POLL_SECONDS if cells else 0)
    if shared.late:
        observer.on_left_out(shared.late)
    return failed


def _packages(suite: Suite) -> tuple[str, ...]:
    """Packages that the problems of a suite need and those of other suites do not: of the hub, of language models."""
    for name in {problem.dataset.name for problem in suite.problems}:
        with suppress(UserError):  # the suite is checked later
            find("datasets", name).load()
    groups = [problem.groups for problem in suite.problems if problem.groups is not None]
    texts = any(group.by == "corpora" for group in groups)
    hub = "dvbench.problems.hub" in sys.modules  # which imports this package when it reads
    return (("datasets",) if hub else ()) + (LANGUAGE_MODELS if texts else ())


def _run(
    queue: JobQueue, store: Store, device: str, jobs: int, on_valued: ResultCallback, limits: Limits
) -> Generator[Result]:
    if not jobs:
        return run_queue_here(queue, store, device, on_valued, limits)
    start_server(jobs)
    return run_queue(queue, store, device, jobs, on_valued, limits)


def _cells(plan: Plan, options: RunOptions) -> list[Cell]:
    return [cell for cell in plan.cells if options.shard is None or cell.key in options.shard]


def _prepare(plan: Plan, cells: Sequence[Cell], store: Store, fresh: bool) -> list[Cell]:
    """Write the plan and return those of the cells that are unfinished; with ``fresh``, remove their results first."""
    before = store.plan(plan.suite)
    if fresh:
        _remove(cells, store)
    to_do = [cell for cell in cells if unfinished(cell, store)]
    store.write_plan(merged(plan, before))
    return to_do


def _remove(cells: Sequence[Cell], store: Store) -> None:
    """Remove the results of cells."""
    for cell in cells:
        store.remove(cell.key)
