"""What a run does and in which order: cells are valued one by one, and scored together by problem and seed."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from dvbench.execution.planning import problem_of
from dvbench.results import Cell, Result, Store

TOGETHER = 250  # cells scored in one go: a worker names them in a pipe of 64 KiB, which is read when it has ended


@dataclass(frozen=True)
class Job:
    """What is done in one go, in a process of its own if there are workers.

    Parameters
    ----------
    step : {"value", "score"}
    cells : tuple of Cell
        One to be valued, or those of one problem and seed to be scored.
    """

    step: Literal["value", "score"]
    cells: tuple[Cell, ...]

    def run(self, store: Store, device: str) -> Iterator[Result]:
        """Do it. A result is on disk when it is yielded."""
        from dvbench.execution.scoring import score_cells
        from dvbench.execution.valuation import value_cell

        if self.step == "score":
            yield from score_cells(self.cells, store, device)
        else:
            yield from (value_cell(cell, store, device) for cell in self.cells)

    def give_up(self, cell: Cell, store: Store, error: str) -> Result:
        """Record that one of its cells could not be done."""
        from dvbench.execution.failures import crashed, unscored

        return unscored(cell, store, error) if self.step == "score" else crashed(cell, store, error)


class JobQueue:
    """Hands out jobs. Cells of one problem and seed are scored as soon as all of them are valued, or have failed.

    Parameters
    ----------
    cells : iterable of Cell
        To be valued and scored.
    valued : iterable of Cell
        To be scored only.
    """

    def __init__(self, cells: Iterable[Cell] = (), valued: Iterable[Cell] = ()) -> None:
        self._jobs = deque(Job("value", (cell,)) for cell in cells)
        self._open = Counter(_unit(cell) for job in self._jobs for cell in job.cells)
        self._valued: defaultdict[tuple[str, int], list[Cell]] = defaultdict(list)
        for cell in valued:
            self._valued[_unit(cell)].append(cell)
        for unit in [unit for unit in self._valued if not self._open[unit]]:
            self._score(unit)

    def next(self) -> Job | None:
        """The job to begin now, or None if there is none."""
        return self._jobs.popleft() if self._jobs else None

    def take(self, job: Job, result: Result) -> bool:
        """Take note of one of a job's results; whether that was its cell's last."""
        if job.step == "score":
            return True
        (cell,) = job.cells
        unit, valued = _unit(cell), result.status == "ok"
        if valued:
            self._valued[unit].append(cell)
        self._open[unit] -= 1
        if not self._open[unit]:
            self._score(unit)
        return not valued

    def _score(self, unit: tuple[str, int]) -> None:
        waiting = self._valued.pop(unit, [])
        for start in range(0, len(waiting), TOGETHER):
            self._jobs.appendleft(Job("score", tuple(waiting[start : start + TOGETHER])))

    def score_alone(self, cell: Cell) -> None:
        """Score a cell again, after the process that scored it with others has died."""
        self._jobs.appendleft(Job("score", (cell,)))


def _unit(cell: Cell) -> tuple[str, int]:
    return problem_of(cell), cell.key.seed
