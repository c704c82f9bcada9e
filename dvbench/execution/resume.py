"""What is left to do: which results on disk are those that a cell would compute.

It imports neither torch nor OpenDataVal, so that a run that has nothing to do ends at once.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from dvbench.errors import UserError
from dvbench.registry import Entry, find
from dvbench.results import Cell, Dataset, Result, Store
from dvbench.settings import DatasetSettings
from dvbench.version import __version__

if TYPE_CHECKING:
    from dvbench.problems.problem import Problem


def unfinished(cell: Cell, store: Store) -> bool:
    """Whether there is something left to do for a cell. Failed cells and failed tasks are done again.

    Raises
    ------
    UserError
        If what is on disk is not a result of this cell.
    """
    result = reusable(cell, store)
    return result is None or bool(result.lacks(task_versions(cell)))


def task_metadata(name: str) -> dict[str, int | str | bool]:
    """Version, headline and direction of a task, as its source states them.

    Raises
    ------
    UserError
        If the source does not state them, or the task has other parameters than a task has.
    """
    definition = find("tasks", name).definition
    metadata, parameters = definition.metadata, definition.parameters
    missing = {"version", "headline", "higher_is_better"} - set(metadata)
    if missing:
        raise UserError(f"task '{name}' must be decorated with @task(version=, headline=, higher_is_better=)")
    names = [parameter.name for parameter in parameters or ()]
    if parameters is not None and names[2:3] != ["utilities"]:
        raise UserError(
            f"the parameters of task '{name}' must be (problem, valuation, utilities), where utilities are the test "
            "utilities of models trained on the coalitions that @task(coalitions=) names; see dvbench.scoring.contract"
        )
    return {key: metadata[key] for key in ("version", "headline", "higher_is_better")}


def task_versions(cell: Cell) -> dict[str, int]:
    """Present version of each of a cell's tasks."""
    return {name: int(task_metadata(name)["version"]) for name in cell.tasks}


def reusable(cell: Cell, store: Store) -> Result | None:
    """The result on disk, if its values are what this cell would compute.

    Raises
    ------
    UserError
        If what is on disk is not a result of this cell, or its arrays were altered.
    """
    result = _of_these_settings(cell, store)
    if result is None:
        return None
    if result.evaluator_version != evaluator_version(find(cell.evaluator.kind, cell.evaluator.name)):
        return None
    return _unaltered(result, store)


def saved(cell: Cell, store: Store) -> Result | None:
    """The result on disk, if its values are of a cell with these settings: all that scoring needs.

    Which version of the evaluator they are of does not matter, nor whether it is installed.

    Raises
    ------
    UserError
        If what is on disk is not a result of this cell, or its arrays were altered.
    """
    result = _of_these_settings(cell, store)
    return None if result is None else _unaltered(result, store)


def _of_these_settings(cell: Cell, store: Store) -> Result | None:
    result = store.read(cell.key)
    if result is None or result.dataset is None:
        return None
    if result.cell.model_copy(update={"tasks": cell.tasks}) != cell:
        return None
    return result if result.dataset.table == table_hash(cell.problem.dataset) else None


def _unaltered(result: Result, store: Store) -> Result:
    for name in result.arrays:
        store.array(result, name)
    return result


def data_of(cell: Cell, problem: Problem) -> Dataset:
    """What a result says of the data of its problem."""
    return Dataset(
        revision=problem.revision,
        table=table_hash(cell.problem.dataset),
        kind=problem.kind,
        train=len(problem.train),
        players=None if problem.groups is None else problem.players,
        validation=len(problem.validation),
        test=len(problem.test),
    )


def table_hash(dataset: DatasetSettings) -> str | None:
    """Hash of a CSV file; None for other data sets and for a file that is not there."""
    if dataset.path is None or not Path(dataset.path).is_file():
        return None
    return hashlib.sha256(Path(dataset.path).read_bytes()).hexdigest()


def evaluator_version(entry: Entry) -> str:
    """Version of the distribution an evaluator comes from, or a hash of its source file if it is a loose script."""
    package = entry.target.partition(":")[0].partition(".")[0]
    if package in ("evaluators", "dvbench"):
        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        source = entry.source
        return f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}" if source else "unknown"
