"""Decides in which order a run does its work: cells are valued one by one, then scored together by problem and seed."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from dvbench.execution.planning import problem_of
from dvbench.results import Cell, Result, Store

# A worker process writes the names of its cells to a pipe of 64 KiB that is read when the process has ended.
MAX_CELLS_SCORED_TOGETHER = 250


@dataclass(frozen=True)
class Job:
    """Work that is done without interruption, in one process.

    Parameters
    ----------
    step : {"value", "score"}
    cells : tuple of Cell
        One cell to value, or the cells of one problem and seed to score.
    """

    step: Literal["value", "score"]
    cells: tuple[Cell, ...]

    def run(self, store: Store, device: str) -> Iterator[Result]:
        """Value or score the cells. Every result is on disk when it is yielded."""
        from dvbench.execution.scoring import score_cells
        from dvbench.execution.valuation import value_cell

        if self.step == "score":
            yield from score_cells(self.cells, store, device)
        else:
            yield from (value_cell(cell, store, device) for cell in self.cells)

    def record_failure(self, cell: Cell, store: Store, error: str) -> Result:
        """Record that one of the cells could not be valued or scored."""
        from dvbench.execution.failures import record_failed_scoring, record_failed_valuation

        record = record_failed_scoring if self.step == "score" else record_failed_valuation
        return record(cell, store, error)


class JobQueue:
    """A queue of jobs. Cells of one problem and seed are scored once all of them are valued or have failed.

    Parameters
    ----------
    cells : iterable of Cell
        Cells to value and to score.
    valued : iterable of Cell
        Cells whose values are on disk, to score only.
    fits : callable, optional
        Asked of each cell before it is valued. Cells that do not fit are left out; the others of their problem and seed
        are scored without them.
    """

    def __init__(
        self,
        cells: Iterable[Cell] = (),
        valued: Iterable[Cell] = (),
        fits: Callable[[Cell], bool] = lambda _: True,
    ) -> None:
        self._fits = fits
        self._jobs = deque(Job("value", (cell,)) for cell in cells)
        self._not_valued = Counter(_problem_and_seed(cell) for job in self._jobs for cell in job.cells)
        self._valued: defaultdict[tuple[str, int], list[Cell]] = defaultdict(list)
        for cell in valued:
            self._valued[_problem_and_seed(cell)].append(cell)
        for group in [group for group in self._valued if not self._not_valued[group]]:
            self._add_scoring(group)

    def next(self) -> Job | None:
        """Remove and return the next job; None if no job can start now."""
        while self._jobs:
            job = self._jobs.popleft()
            if job.step == "score" or self._fits(job.cells[0]):
                return job
            self._count(job.cells[0])
        return None

    def add_result(self, job: Job, result: Result) -> bool:
        """Register a result of a job. Return whether its cell is finished, that is scored or failed."""
        if job.step == "score":
            return True
        (cell,) = job.cells
        valued = result.status == "ok"
        if valued:
            self._valued[_problem_and_seed(cell)].append(cell)
        self._count(cell)
        return not valued

    def score_alone(self, cell: Cell) -> None:
        """Score a cell in a job of its own, after the process that scored it with others has died."""
        self._jobs.appendleft(Job("score", (cell,)))

    def _count(self, cell: Cell) -> None:
        """Count a cell whose valuation is over; the last one of its problem and seed makes a job of scoring."""
        group = _problem_and_seed(cell)
        self._not_valued[group] -= 1
        if not self._not_valued[group]:
            self._add_scoring(group)

    def _add_scoring(self, group: tuple[str, int]) -> None:
        cells = self._valued.pop(group, [])
        for start in range(0, len(cells), MAX_CELLS_SCORED_TOGETHER):
            self._jobs.appendleft(Job("score", tuple(cells[start : start + MAX_CELLS_SCORED_TOGETHER])))


class OneJob(JobQueue):
    """A queue of one job, for a process that is not to do more than that."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._jobs.append(job)

    def add_result(self, job: Job, result: Result) -> bool:
        """Return that the cell is finished, as far as the job goes."""
        return True


def _problem_and_seed(cell: Cell) -> tuple[str, int]:
    return problem_of(cell), cell.key.seed
