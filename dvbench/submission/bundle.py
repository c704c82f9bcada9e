"""Reads an untrusted bundle: the files of one evaluator's cells, and the description of the evaluator by its authors.

The submission is read first. It lists the files, which must be those of cells that it plans: nothing else is read. The
files are copied to a temporary folder, and all checks and later steps use the copy. Nothing in a bundle is executed,
and every fault is reported as an error of one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dvbench.errors import UserError, plain, validation_message
from dvbench.problems.variants import array_length
from dvbench.results import CellKey, Plan, Result, Store, Submission
from dvbench.results.store import DTYPES
from dvbench.submission.archive import archived_files
from dvbench.submission.folder import copy_files, files_of, stored_files, suites_of
from dvbench.submission.paths import MOST_BYTES, RESULT_BYTES, SUBMISSION, Files, key_of, limit_of, planned_limit
from dvbench.submission.strict_json import check_json


@dataclass(frozen=True)
class Bundle:
    """Results whose form was checked.

    Parameters
    ----------
    store : Store
        The temporary copy.
    keys : tuple of CellKey
        The cells that have a result.
    plans : tuple of Plan
        The planned cells.
    submission : Submission, optional
        None for results in a folder that were not submitted.
    """

    store: Store
    keys: tuple[CellKey, ...]
    plans: tuple[Plan, ...]
    submission: Submission | None = None

    def results(self) -> Iterator[Result]:
        """Read all results one by one, because together they may be larger than memory."""
        for key in self.keys:
            yield self.result(key)

    def result(self, key: CellKey) -> Result:
        """Read the result of a cell."""
        result = self.store.read(key)
        if result is None:
            raise UserError(f"there is no result of {key}")
        return result

    def sha256(self, key: CellKey) -> str:
        """Return the SHA-256 of the result file of a cell."""
        return hashlib.sha256((self.store.folder(key) / "result.json").read_bytes()).hexdigest()


def read_bundle(path: Path, into: Path, accept: Callable[[Submission], None] = lambda _: None) -> Bundle:
    """Read a bundle: a ``.zip``, or the ``submissions/NAME.json`` of a results folder it was copied to.

    Parameters
    ----------
    path : Path
    into : Path
        An empty folder for the copy.
    accept : callable, optional
        Called with the submission before any other file is read. It raises a `UserError` to refuse the bundle.

    Raises
    ------
    UserError
        If the bundle is refused; the message names the bundle, the fault and the file.
    """
    with refusing(path, into):
        if path.suffix == ".json":
            return _submitted(_files_beside(path), into, accept)
        with archived_files(path) as files:
            return _submitted(files, into, accept)


def read_published(root: Path, into: Path, suites: Sequence[str] = (), evaluators: Sequence[str] = ()) -> Bundle:
    """Read results that were not submitted from a results folder with plans.

    Parameters
    ----------
    root : Path
    into : Path
        An empty folder for the copy.
    suites, evaluators : sequence of str
        Only these; by default all.

    Raises
    ------
    UserError
        If there are no such results, or a file is refused.
    """
    plans = []
    for name in suites or Store(root).suites():
        plan = Store(root).plan(name)
        if plan is None:
            raise UserError(f"{root} has no plan of suite '{name}'; it has {', '.join(Store(root).suites()) or 'none'}")
        cells = tuple(cell for cell in plan.cells if not evaluators or cell.key.evaluator in evaluators)
        plans.append(plan.model_copy(update={"cells": cells}))
    pairs = sorted({(plan.suite, cell.key.evaluator) for plan in plans for cell in plan.cells})
    with refusing(root, into):
        paths = [path for suite, evaluator in pairs for path in files_of(root, suite, evaluator)]
        _planned_limits(paths, plans)
        copy_files(root, paths, into)
        keys = _checked_cells(into, paths)
    if not keys:
        raise UserError(f"{root} has no such results; see 'dvbench verify --help'")
    return Bundle(Store(into), keys, tuple(plans))


@contextmanager
def refusing(path: Path, into: Path) -> Iterator[None]:
    """Add the path of the bundle to errors, and write paths of its files relative to it."""
    try:
        yield
    except UserError as error:
        raise UserError(plain(f"{path} is refused: {str(error).replace(f'{into}/', '')}", 500)) from error


def _files_beside(path: Path) -> Files:
    """The files of a submission in a results folder."""
    root, evaluator = path.parent.parent, path.stem
    name = f"submissions/{path.name}"
    if path.parent.name != "submissions" or not SUBMISSION.fullmatch(name):
        raise UserError("a submission in a results folder is the file submissions/EVALUATOR.json")
    cells = [file for suite in suites_of(root, evaluator) for file in files_of(root, suite, evaluator)]
    return stored_files(root, [name, *cells])


def _submitted(files: Files, into: Path, accept: Callable[[Submission], None]) -> Bundle:
    """Copy the files, which are exactly those that the submission lists and are of cells that it plans."""
    named = [path for path in files if SUBMISSION.fullmatch(path)]
    if len(named) != 1:
        raise UserError(f"it has {len(named)} files submissions/EVALUATOR.json, and needs exactly one")
    content = files[named[0]](limit_of(named[0]) or 0)
    submission = _submission(content, named[0])
    accept(submission)
    paths = [path for path in files if path != named[0]]
    _check_listed(paths, submission, named[0])
    limits = _planned_limits(paths, submission.plans, submission.evaluator)
    _write(into / named[0], content)
    total, results = 0, RESULT_BYTES * sum(path.endswith(".json") for path in paths)
    for path, limit in limits.items():
        content = files[path](limit)
        if hashlib.sha256(content).hexdigest() != submission.files[path]:
            raise UserError(f"'{path}' does not have the SHA-256 that '{named[0]}' lists")
        total += len(content)
        results -= len(content) if path.endswith(".json") else 0
        if total > MOST_BYTES:
            raise UserError(f"its files have more than {MOST_BYTES} bytes")
        if results < 0:
            raise UserError(f"its result files have more than {RESULT_BYTES} bytes on average")
        _write(into / path, content)
    return Bundle(Store(into), _checked_cells(into, paths), submission.plans, submission)


def _check_listed(paths: Sequence[str], submission: Submission, name: str) -> None:
    """Refuse files that the submission does not list, and listed ones that are missing."""
    if others := sorted(set(paths) - submission.files.keys()):
        raise UserError(f"'{others[0]}' is not listed in '{name}'")
    if missing := sorted(submission.files.keys() - set(paths)):
        raise UserError(f"'{plain(missing[0])}' is listed in '{name}' but is missing ({len(missing)} missing in all)")
    if not paths:
        raise UserError("it has no results")


def _planned_limits(paths: Iterable[str], plans: Iterable[Plan], evaluator: str | None = None) -> dict[str, int]:
    """Return the largest size in bytes of every file, in the same order; files of unplanned cells are refused."""
    planned = {cell.key.folder: cell for plan in plans for cell in plan.cells}
    limits = {}
    for path in paths:
        folder, key = path.rpartition("/")[0], key_of(path)
        if evaluator is not None and key is not None and key.evaluator != evaluator:
            raise UserError(f"'{folder}' is not a cell of {evaluator}")
        if folder not in planned:
            raise UserError(f"'{plain(folder)}': it is not planned")
        limits[path] = planned_limit(path, planned[folder])
    return limits


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _submission(content: bytes, name: str) -> Submission:
    check_json(content, name)
    try:
        submission = Submission.model_validate_json(content)
    except ValidationError as error:
        raise UserError(f"'{name}' is not a submission: {validation_message(error)}") from error
    if name != f"submissions/{submission.evaluator}.json":
        raise UserError(f"'{name}' is the submission of {submission.evaluator}")
    return submission


def _checked_cells(into: Path, paths: Iterable[str]) -> tuple[CellKey, ...]:
    """Check the cells that the files belong to."""
    files: dict[str, set[str]] = {}
    keys = {}
    for path in sorted(paths):
        key = key_of(path)
        assert key is not None  # other files were refused before
        keys[key.folder] = key
        files.setdefault(key.folder, set()).add(path.rpartition("/")[2])
    for folder, key in keys.items():
        if "result.json" not in files[folder]:
            raise UserError(f"'{folder}' has no result.json")
        _check_cell(Store(into), key, files[folder] - {"result.json"})
    return tuple(keys.values())


def _check_cell(store: Store, key: CellKey, arrays: set[str]) -> None:
    """Refuse a cell whose result belongs to another folder, or does not list the arrays of the folder."""
    name = f"{key.folder}/result.json"
    check_json((store.root / name).read_bytes(), name)
    result = store.read(key)
    assert result is not None
    listed = {f"{array}.npy" for array in result.arrays}
    if listed != arrays:
        raise UserError(f"'{name}' lists the arrays {sorted(listed)}, but its folder has {sorted(arrays)}")
    if result.dataset is None:
        return
    players = result.dataset.players or result.dataset.train
    for array in result.arrays:
        if array not in DTYPES and result.arrays[array].length != array_length(array, players):
            raise UserError(
                f"'{key.folder}/{array}.npy' has {result.arrays[array].length} numbers for {players} players"
            )
        store.array(result, array)
