"""Runs that end in time: which cells are computed first, and which still fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from heapq import heapreplace

from dvbench.execution.costs import Measured, estimate
from dvbench.results import Cell


def most_informative_first(cells: Sequence[Cell]) -> list[Cell]:
    """Order cells so that the first ones are of every evaluator and every problem, and those of a seed come together.

    The table of problems and evaluators is walked diagonal by diagonal; each diagonal has every row and every column.
    """
    problems, evaluators, seeds = (
        list(dict.fromkeys(getattr(cell.key, name) for cell in cells)) for name in ("problem", "evaluator", "seed")
    )
    count = min(len(problems), len(evaluators))

    def turn(cell: Cell) -> tuple[int, int]:
        diagonal = (evaluators.index(cell.key.evaluator) - problems.index(cell.key.problem)) % count
        return seeds.index(cell.key.seed), diagonal

    return sorted(cells, key=turn)


def fit_together(cells: Sequence[Cell], seconds: float, jobs: int, known: Sequence[Measured], cuda: bool) -> list[Cell]:
    """Return about which cells a run of so many seconds will value, ``jobs`` at a time.

    Cells of unknown cost are taken to need no time, as a run starts them as long as any time is left.
    """
    free, chosen = [0.0] * jobs, []  # when each of the processes is free
    for cell in most_informative_first(cells):
        expected = estimate(cell, known, cuda)
        end = free[0] + (0.0 if expected is None else expected.seconds)
        if end <= seconds:
            heapreplace(free, end)
            chosen.append(cell)
    return chosen


def fits_until(seconds: float, known: Sequence[Measured], cuda: bool) -> Callable[[Cell], bool]:
    """Return what says of a cell whether it will be valued in time; the time begins now.

    A cell of unknown cost fits as long as any time is left.
    """
    end = time.monotonic() + seconds

    def fits(cell: Cell) -> bool:
        left = end - time.monotonic()
        expected = estimate(cell, known, cuda)
        return left > 0 and (expected is None or expected.seconds <= left)

    return fits
