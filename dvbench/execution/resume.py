"""Decides which cells are finished: which results on disk are equal to what a cell would compute.

It imports neither torch nor OpenDataVal, so that a run without unfinished cells takes little time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvbench.errors import UserError
from dvbench.execution.source_hash import is_local, source_hash
from dvbench.problems.variants import needed
from dvbench.registry import Entry, find
from dvbench.results import ArrayName, Cell, Dataset, Result, Store
from dvbench.settings import DatasetSettings, EvaluatorSettings

if TYPE_CHECKING:
    from dvbench.problems.problem import Problem

UNKNOWN = "unknown"  # version of a module that is not found here
FIRST_VERSION = "0.1.0"  # of dvbench's evaluators and unlearning methods that state none


def unfinished(cell: Cell, store: Store) -> bool:
    """Return whether a cell lacks values or scores. Failed cells and failed tasks are computed again.

    Raises
    ------
    UserError
        If what is on disk is not a result of this cell.
    """
    result = reusable(cell, store)
    return result is None or bool(result.lacks(task_versions(cell)))


def task_metadata(name: str) -> dict[str, int | str | bool]:
    """Return version, headline and direction of a task, read from its source.

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
    """Return the current version of each task of a cell."""
    return {name: int(task_metadata(name)["version"]) for name in cell.tasks}


def needed_variants(task: str) -> list[ArrayName]:
    """Return the variants of a problem whose values a task needs, read from its source."""
    return needed(find("tasks", task).definition.metadata)


def needed_measures(task: str) -> list[str]:
    """Return what a task needs to have measured on each retrained model, read from its source."""
    return list(find("tasks", task).definition.metadata.get("measures", ()))


def reusable(cell: Cell, store: Store) -> Result | None:
    """Return the result on disk if its values are those that this cell would compute, otherwise None.

    Raises
    ------
    UserError
        If what is on disk is not a result of this cell, or its arrays were altered.
    """
    result = _with_settings_of(cell, store)
    if result is None:
        return None
    if result.evaluator_version != evaluator_version(cell.evaluator):
        return None
    return _unaltered(result, store)


def saved(cell: Cell, store: Store) -> Result | None:
    """Return the result on disk if its values are those of a cell with the same settings, otherwise None.

    Scoring needs no more than that. The version of the evaluator may differ, and it need not be installed.

    Raises
    ------
    UserError
        If what is on disk is not a result of this cell, or its arrays were altered.
    """
    result = _with_settings_of(cell, store)
    return None if result is None else _unaltered(result, store)


def _with_settings_of(cell: Cell, store: Store) -> Result | None:
    result = store.read(cell.key)
    if result is None or result.dataset is None:
        return None
    if not result.cell.computes_values_of(cell):
        return None
    return result if result.dataset.table == table_hash(cell.problem.dataset) else None


def _unaltered(result: Result, store: Store) -> Result:
    store.arrays(result)
    return result


def data_of(cell: Cell, problem: Problem) -> Dataset:
    """Return the part of a result that identifies the data of its problem."""
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
    """Return the hash of a CSV file; None for other data sets and for a file that does not exist."""
    if dataset.path is None or not Path(dataset.path).is_file():
        return None
    return hashlib.sha256(Path(dataset.path).read_bytes()).hexdigest()


def evaluator_version(settings: EvaluatorSettings) -> str:
    """Return the version of an evaluator or an unlearning method, and of each ``module:Name`` in its parameters.

    For those of dvbench it is the version of dvbench that last changed what they compute, which the class states as
    ``version``; so a release computes only those again that it changed. Methods of another library, ``library:name``,
    also have the version of the library. For others it is the version of their package, and a hash of their source if
    they are in no package, or in one that was installed from a folder; for what is hashed see
    `dvbench.execution.source_hash`.
    """
    entry = find(settings.kind, settings.name)
    others = [f"{name} {version}" for name in named_modules(settings.params) if (version := _named_version(name))]
    return ", ".join([_version(entry), *others])


def named_modules(value: Any) -> Iterator[str]:
    """Yield every text in parameters that could name something to import."""
    if isinstance(value, str) and ":" in value:
        yield value
    elif isinstance(value, dict):
        yield from (name for pair in value.items() for part in pair for name in named_modules(part))
    elif isinstance(value, list | tuple):
        yield from (name for part in value for name in named_modules(part))


def _named_version(name: str) -> str | None:
    """Return the version of a ``module:Name`` in parameters; None for another text with a colon."""
    try:
        entry = find("unlearning", name)
    except UserError:
        return None
    return None if entry.source is None else _version(entry)


def _version(entry: Entry) -> str:
    module = entry.target.partition(":")[0]
    package = module.partition(".")[0]
    if package in ("evaluators", "dvbench"):
        own = str(entry.definition.metadata.get("version", FIRST_VERSION))
        return f"{own}, {entry.library} {_installed_version(entry.library)}" if entry.library else own
    stated = _installed_version(package)
    if stated and not is_local(package):
        return stated
    digest = source_hash(module)
    return f"{stated} sha256:{digest}".strip() if digest else stated or UNKNOWN


def _installed_version(package: str) -> str:
    """Version of an installed package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
