"""Records failures as results, with the error in one line.

It imports neither torch nor OpenDataVal.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import Literal

from dvbench.errors import LONGEST_ERROR, UserError, one_line, plain, type_name
from dvbench.execution.environment import current_environment
from dvbench.execution.resume import evaluator_version, reusable, saved, task_metadata, task_versions
from dvbench.registry import find
from dvbench.results import Cell, Dataset, Result, Score, Store
from dvbench.version import __version__


def error_line(error: BaseException) -> str:
    """Return an exception in one line of printable characters, of at most `LONGEST_ERROR` characters.

    It names the file and line that raised the exception, unless that is a `UserError`.
    """
    name, text, place = type_name(error), one_line(error, LONGEST_ERROR - 500), ""
    if isinstance(error, UserError):
        return text
    text = "no message" if text == name else text
    with suppress(Exception, SystemExit):  # an exception of another package may have no traceback
        # Summaries of the traceback would read the files that it names, which an evaluator can choose.
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        file = "/".join(frame.f_code.co_filename.replace("\\", "/").split("/")[-2:])
        place = f" ({plain(file)}:{line})"
    return f"{name}: {text}{place}"


def failure_reasons(result: Result) -> list[str]:
    """Return the error of a cell's valuation, or the errors of its tasks; none if all went well."""
    if result.status == "failed":
        return [result.error or "failed"]
    return [f"{name}: {score.error}" for name, score in sorted(result.scores.items()) if score.error]


def failed_result(cell: Cell, error: str, device: str) -> Result:
    """Return the result of a cell whose valuation failed."""
    return _without_values(cell, "failed", error, None, device)


def declined_result(cell: Cell, reason: str, data: Dataset, device: str) -> Result:
    """Return the result of a cell whose evaluator does not apply to its problem."""
    return _without_values(cell, "declined", reason, data, device)


def _without_values(
    cell: Cell, status: Literal["failed", "declined"], error: str, data: Dataset | None, device: str
) -> Result:
    return Result(
        dvbench_version=__version__,
        cell=cell,
        status=status,
        error=error,
        evaluator_object=find(cell.evaluator.kind, cell.evaluator.name).target,
        evaluator_version=evaluator_version(cell.evaluator),
        dataset=data,
        environment=current_environment(device),
    )


def failed_score(task: str, error: str) -> Score:
    """Return the score of a task that failed."""
    return Score.model_validate({**task_metadata(task), "error": error})


def record_failed_valuation(cell: Cell, store: Store, error: str, device: str = "cpu") -> Result:
    """Write that a cell could not be valued. If it has values, they are kept and its missing scores get the error."""
    return _write(cell, reusable(cell, store), store, error, device)


def record_failed_scoring(cell: Cell, store: Store, error: str, device: str = "cpu") -> Result:
    """Write that a cell could not be scored. Its values are kept, and its missing scores get the error."""
    return _write(cell, saved(cell, store), store, error, device)


def _write(cell: Cell, result: Result | None, store: Store, error: str, device: str) -> Result:
    if result is None:
        return store.write(failed_result(cell, error, device))
    missing = result.lacks(task_versions(cell))
    return store.write(result.with_scores(cell, {name: failed_score(name, error) for name in missing}))
