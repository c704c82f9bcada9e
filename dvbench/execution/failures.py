"""What went wrong, as it is recorded: a failure is a result too.

It imports neither torch nor OpenDataVal.
"""

from __future__ import annotations

import traceback

from dvbench.errors import UserError
from dvbench.execution.environment import describe_environment
from dvbench.execution.resume import evaluator_version, reusable, saved, task_metadata, task_versions
from dvbench.registry import find
from dvbench.results import Cell, Result, Score, Store
from dvbench.version import __version__


def describe_exception(error: BaseException) -> str:
    """An exception in one line, with the place it came from unless it was raised for the user."""
    try:
        text = " ".join(str(error).split()) or "no message"
    except Exception:  # a stranger's exception may not even print
        text = "no message"
    if isinstance(error, UserError):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = "/".join(frame.filename.replace("\\", "/").split("/")[-2:])
    return f"{type(error).__name__}: {text} ({place}:{frame.lineno})"


def failure(cell: Cell, error: str, device: str) -> Result:
    """Result of a cell whose valuation failed."""
    entry = find(cell.evaluator.kind, cell.evaluator.name)
    return Result(
        dvbench_version=__version__,
        cell=cell,
        status="failed",
        error=error,
        evaluator_object=entry.target,
        evaluator_version=evaluator_version(entry),
        environment=describe_environment(device),
    )


def failed_score(task: str, error: str) -> Score:
    """Score of a task that failed."""
    return Score.model_validate({**task_metadata(task), "error": error})


def crashed(cell: Cell, store: Store, error: str, device: str = "cpu") -> Result:
    """Record that a cell could not be valued. If it had values, they stay and the tasks it owes get the error."""
    return _recorded(cell, reusable(cell, store), store, error, device)


def unscored(cell: Cell, store: Store, error: str, device: str = "cpu") -> Result:
    """Record that a cell could not be scored: its values stay, and the tasks it owes get the error."""
    return _recorded(cell, saved(cell, store), store, error, device)


def _recorded(cell: Cell, result: Result | None, store: Store, error: str, device: str) -> Result:
    if result is None:
        return store.write(failure(cell, error, device))
    owed = result.lacks(task_versions(cell))
    return store.write(result.with_scores(cell, {name: failed_score(name, error) for name in owed}))
