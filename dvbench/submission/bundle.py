"""Reads an untrusted bundle: the files of one evaluator's cells, and the description of the evaluator by its authors.

The files are first copied to a temporary folder, and all checks and later steps use the copy. Nothing in a bundle is
executed, and every fault is reported as an error of one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dvbench.errors import UserError, validation_message
from dvbench.results import CellKey, Plan, Result, Store, Submission
from dvbench.submission.archive import unpack
from dvbench.submission.folder import copy_files, files_of, suites_of
from dvbench.submission.paths import SUBMISSION, key_of
from dvbench.submission.plain_text import plain
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


def read_bundle(path: Path, into: Path) -> Bundle:
    """Read a bundle: a ``.zip``, or the ``submissions/NAME.json`` of a results folder it was copied to.

    Parameters
    ----------
    path : Path
    into : Path
        An empty folder for the copy.

    Raises
    ------
    UserError
        If the bundle is refused; the message names the bundle, the fault and the file.
    """
    with refusing(path, into):
        if path.suffix == ".json":
            _copy_submission(path, into)
        else:
            unpack(path, into)
        return _submitted(into)


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
        copy_files(root, [path for suite, evaluator in pairs for path in files_of(root, suite, evaluator)], into)
        keys = _checked_cells(into, _hashes(into))
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


def _copy_submission(path: Path, into: Path) -> None:
    root, evaluator = path.parent.parent, path.stem
    name = f"submissions/{path.name}"
    if path.parent.name != "submissions" or not SUBMISSION.fullmatch(name):
        raise UserError("a submission in a results folder is the file submissions/EVALUATOR.json")
    cells = [file for suite in suites_of(root, evaluator) for file in files_of(root, suite, evaluator)]
    copy_files(root, [name, *cells], into)


def _submitted(into: Path) -> Bundle:
    """Check that the files are exactly those that the submission lists."""
    hashes = _hashes(into)
    named = [path for path in hashes if SUBMISSION.fullmatch(path)]
    if len(named) != 1:
        raise UserError(f"it has {len(named)} files submissions/EVALUATOR.json, and needs exactly one")
    del hashes[named[0]]
    submission = _submission(into, named[0])
    for path, digest in hashes.items():
        if path not in submission.files:
            raise UserError(f"'{path}' is not listed in '{named[0]}'")
        if submission.files[path] != digest:
            raise UserError(f"'{path}' does not have the SHA-256 that '{named[0]}' lists")
    missing = sorted(submission.files.keys() - hashes.keys())
    if missing:
        raise UserError(f"'{missing[0]}' is listed in '{named[0]}' but is missing ({len(missing)} missing in all)")
    keys = _checked_cells(into, hashes)
    if not keys:
        raise UserError("it has no results")
    others = [key for key in keys if key.evaluator != submission.evaluator]
    if others:
        raise UserError(f"'{others[0].folder}' is not a cell of {submission.evaluator}")
    return Bundle(Store(into), keys, submission.plans, submission)


def _hashes(into: Path) -> dict[str, str]:
    """Return the SHA-256 of every file, by its path."""
    paths = sorted(path for path in into.rglob("*") if path.is_file())
    return {path.relative_to(into).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _submission(into: Path, name: str) -> Submission:
    content = (into / name).read_bytes()
    check_json(content, name)
    try:
        submission = Submission.model_validate_json(content)
    except ValidationError as error:
        raise UserError(f"'{name}' is not a submission: {validation_message(error)}") from error
    if name != f"submissions/{submission.evaluator}.json":
        raise UserError(f"'{name}' is the submission of {submission.evaluator}")
    return submission


def _checked_cells(into: Path, hashes: dict[str, str]) -> tuple[CellKey, ...]:
    """Check the cells that the files belong to."""
    files: dict[str, set[str]] = {}
    keys = {}
    for path in hashes:
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
        if result.arrays[array].length != players:
            raise UserError(
                f"'{key.folder}/{array}.npy' has {result.arrays[array].length} numbers for {players} players"
            )
        store.array(result, array)
