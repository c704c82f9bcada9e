"""Reads a bundle that somebody else made: the files of one evaluator's cells and what its authors say of it.

It is copied into a folder of one's own first, file by file, whatever form it has; what is checked there is what is used
afterwards. Nothing in it is executed, and whatever is wrong with it ends in one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dvbench.errors import UserError, describe_error
from dvbench.results import CellKey, Plan, Result, Store, Submission
from dvbench.submission.archive import unpack
from dvbench.submission.folder import files_of, suites_of, take
from dvbench.submission.paths import SUBMISSION, key_of
from dvbench.submission.plain_text import plain
from dvbench.submission.strict_json import check_json


@dataclass(frozen=True)
class Bundle:
    """Results that are in order as far as their form goes.

    Parameters
    ----------
    store : Store
        A copy of one's own.
    keys : tuple of CellKey
        Whose results there are.
    plans : tuple of Plan
        What was to be computed.
    submission : Submission, optional
        None for dvbench's own published results.
    """

    store: Store
    keys: tuple[CellKey, ...]
    plans: tuple[Plan, ...]
    submission: Submission | None = None

    def results(self) -> Iterator[Result]:
        """All results, read anew: together they may be larger than memory."""
        for key in self.keys:
            yield self.result(key)

    def result(self, key: CellKey) -> Result:
        """The result of a cell."""
        result = self.store.read(key)
        if result is None:
            raise UserError(f"there is no result of {key}")
        return result

    def sha256(self, key: CellKey) -> str:
        """SHA-256 of the file of a cell's result."""
        return hashlib.sha256((self.store.folder(key) / "result.json").read_bytes()).hexdigest()


def read_bundle(path: Path, into: Path) -> Bundle:
    """Read a bundle: a ``.zip``, or the ``submissions/NAME.json`` of a results folder that one has landed in.

    Parameters
    ----------
    path : Path
    into : Path
        An empty folder for a copy.

    Raises
    ------
    UserError
        If it is refused; the message names the bundle, what is wrong and where.
    """
    with refusing(path, into):
        if path.suffix == ".json":
            _take_landed(path, into)
        else:
            unpack(path, into)
        return _submitted(into)


def read_published(root: Path, into: Path, suites: Sequence[str] = (), evaluators: Sequence[str] = ()) -> Bundle:
    """Read results that nobody submitted, from a results folder with plans.

    Parameters
    ----------
    root : Path
    into : Path
        An empty folder for a copy.
    suites, evaluators : sequence of str
        Only these; all if there are none.

    Raises
    ------
    UserError
        If there are no such results, or one is refused.
    """
    plans = []
    for name in suites or Store(root).suites():
        plan = Store(root).plan(name)
        if plan is None:
            raise UserError(f"{root} has no plan of suite '{name}'; it has {', '.join(Store(root).suites()) or 'none'}")
        cells = tuple(cell for cell in plan.cells if not evaluators or cell.key.evaluator in evaluators)
        plans.append(plan.model_copy(update={"cells": cells}))
    found = sorted({(plan.suite, cell.key.evaluator) for plan in plans for cell in plan.cells})
    with refusing(root, into):
        take(root, [path for suite, evaluator in found for path in files_of(root, suite, evaluator)], into)
        keys = _checked_cells(into, _hashes(into))
    if not keys:
        raise UserError(f"{root} has no such results; see 'dvbench verify --help'")
    return Bundle(Store(into), keys, tuple(plans))


@contextmanager
def refusing(path: Path, into: Path) -> Iterator[None]:
    """Say which bundle it was, and speak of its files as they are named in it."""
    try:
        yield
    except UserError as error:
        raise UserError(plain(f"{path} is refused: {str(error).replace(f'{into}/', '')}", 500)) from error


def _take_landed(path: Path, into: Path) -> None:
    root, evaluator = path.parent.parent, path.stem
    name = f"submissions/{path.name}"
    if path.parent.name != "submissions" or not SUBMISSION.fullmatch(name):
        raise UserError("a submission that has landed is the file submissions/EVALUATOR.json of a results folder")
    cells = [each for suite in suites_of(root, evaluator) for each in files_of(root, suite, evaluator)]
    take(root, [name, *cells], into)


def _submitted(into: Path) -> Bundle:
    """What was unpacked, if it is whole and is what its submission says."""
    hashes = _hashes(into)
    named = [path for path in hashes if SUBMISSION.fullmatch(path)]
    if len(named) != 1:
        raise UserError(f"it has {len(named)} files submissions/EVALUATOR.json, and must have one")
    del hashes[named[0]]
    submission = _submission(into, named[0])
    for path, digest in hashes.items():
        if path not in submission.files:
            raise UserError(f"'{path}' is not listed in '{named[0]}'")
        if submission.files[path] != digest:
            raise UserError(f"'{path}' is not the file whose SHA-256 '{named[0]}' has")
    missing = sorted(submission.files.keys() - hashes.keys())
    if missing:
        raise UserError(f"'{missing[0]}' is listed in '{named[0]}' and is not there ({len(missing)} in all)")
    keys = _checked_cells(into, hashes)
    if not keys:
        raise UserError("it has no results")
    strange = [key for key in keys if key.evaluator != submission.evaluator]
    if strange:
        raise UserError(f"'{strange[0].folder}' is not {submission.evaluator}'s")
    return Bundle(Store(into), keys, submission.plans, submission)


def _hashes(into: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path."""
    paths = sorted(path for path in into.rglob("*") if path.is_file())
    return {path.relative_to(into).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _submission(into: Path, name: str) -> Submission:
    content = (into / name).read_bytes()
    check_json(content, name)
    try:
        submission = Submission.model_validate_json(content)
    except ValidationError as error:
        raise UserError(f"'{name}' is no submission: {describe_error(error)}") from error
    if name != f"submissions/{submission.evaluator}.json":
        raise UserError(f"'{name}' is the submission of {submission.evaluator}")
    return submission


def _checked_cells(into: Path, hashes: dict[str, str]) -> tuple[CellKey, ...]:
    """The cells that the files are of, each of which is found to be whole."""
    files: dict[str, set[str]] = {}
    keys = {}
    for path in hashes:
        key = key_of(path)
        assert key is not None  # nothing else was unpacked
        keys[key.folder] = key
        files.setdefault(key.folder, set()).add(path.rpartition("/")[2])
    for folder, key in keys.items():
        if "result.json" not in files[folder]:
            raise UserError(f"'{folder}' has no result.json")
        _check_cell(Store(into), key, files[folder] - {"result.json"})
    return tuple(keys.values())


def _check_cell(store: Store, key: CellKey, arrays: set[str]) -> None:
    """Refuse a cell whose result is not that of its folder, or does not describe the arrays beside it."""
    name = f"{key.folder}/result.json"
    check_json((store.root / name).read_bytes(), name)
    result = store.read(key)
    assert result is not None
    described = {f"{array}.npy" for array in result.arrays}
    if described != arrays:
        raise UserError(f"'{name}' describes the arrays {sorted(described)}, and there are {sorted(arrays)}")
    if result.dataset is None:
        return
    players = result.dataset.players or result.dataset.train
    for array in result.arrays:
        if result.arrays[array].length != players:
            raise UserError(
                f"'{key.folder}/{array}.npy' has {result.arrays[array].length} numbers for {players} players"
            )
        store.array(result, array)
