"""Bounds of what is computed for an untrusted bundle.

What exceeds them is not computed, or no longer: its scores remain claimed.
"""

from __future__ import annotations

from dvbench.errors import UserError
from dvbench.execution.limits import Limits, exceeded
from dvbench.registry import suite_files
from dvbench.results import Cell, Result
from dvbench.suite import load_suite

CELL_SECONDS = 1800.0
CELLS_PER_BUNDLE = 4  # a bundle has the time of so many cells that need all of theirs
MEMORY_SHARE = 0.75  # of this machine
TIMES_THE_SUITE = 10  # a method may use so many times the points that the methods of its suite use


def limits_of_cell(seconds: float, processes: int) -> Limits:
    """Return the limits of a cell, where so many processes share the memory of this machine."""
    from dvbench.training.memory import memory_of

    return Limits(seconds, int(MEMORY_SHARE * memory_of("cpu")) // max(processes, 1))


def too_many_steps(cell: Cell) -> str | None:
    """Say why the unlearning method of a cell is not run again, which must be registered or trusted.

    Returns
    -------
    str or None
        None if it uses at most `TIMES_THE_SUITE` times as many points as a method of the cell's suite, or the suite is
        none of dvbench.
    """
    if cell.evaluator.kind != "unlearning" or cell.key.suite not in suite_files():
        return None
    own = [method for method in load_suite(cell.key.suite).evaluators if method.kind == "unlearning"]
    allowed = TIMES_THE_SUITE * max((_points(method.name, method.params) for method in own), default=0)
    try:
        points = _points(cell.evaluator.name, cell.evaluator.params)
    except UserError:  # the method refuses its parameters, which is found when it is run
        return None
    if points <= allowed:
        return None
    return f"it unlearns with {points:,} points, and suite '{cell.key.suite}' allows {allowed:,}"


def _points(name: str, params: dict[str, object]) -> int:
    from dvbench.unlearning.factory import make_method

    method = make_method(name, **params)
    return method.steps * method.batch_size


def exceeded_tasks(claimed: Result, recomputed: Result) -> dict[str, str]:
    """Return the errors of the tasks that have a claimed score, and that time or memory did not suffice for."""
    return {
        name: str(score.error)
        for name, score in recomputed.scores.items()
        if exceeded(score.error) and name in claimed.scores and claimed.scores[name].error is None
    }
