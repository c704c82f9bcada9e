"""Reads and writes results: one folder per cell. Files are written atomically, and nothing in them is executed."""

from __future__ import annotations

import glob
import hashlib
import io
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np
from pydantic import ValidationError

from dvbench.errors import UserError, one_line, validation_message
from dvbench.files import explain_errors, write_atomically
from dvbench.results.schema import Array, ArrayName, CellKey, Plan, Result, as_json
from dvbench.results.submissions import FreshRun, Submission, Verified
from dvbench.settings import Strict

RESULT = "result.json"
PLAN = "plan.json"
SUBMISSIONS = "submissions"
VERIFIED = "verified"
DTYPES: dict[str, type[np.generic]] = {"chosen": np.uint8, "weights": np.float16}  # of arrays of selections
Read = TypeVar("Read", bound=Strict)


class Store:
    """A folder of results.

    Parameters
    ----------
    root : Path
        ``root/suite/problem/evaluator/seed-0/result.json``, and ``root/suite/plan.json``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: CellKey) -> Path:
        """Return the folder of a cell."""
        return self.root / key.folder

    def write(self, result: Result, arrays: Mapping[ArrayName, np.ndarray] | None = None) -> Result:
        """Write a cell: its arrays, and last its ``result.json``, so that an existing result is complete.

        Parameters
        ----------
        result : Result
        arrays : mapping of name to numpy.ndarray, optional
            Arrays to save; their hashes and lengths are set in ``result.arrays``, and arrays of an earlier result that
            are not among them are deleted. By default existing arrays are kept.

        Returns
        -------
        Result
            The written result.

        Raises
        ------
        UserError
            If the folder cannot be written.
        """
        folder = self.folder(result.cell.key)
        if arrays is not None:
            files = {name: _npy(array, _dtype(name, array)) for name, array in arrays.items()}
            with explain_errors(folder):
                (folder / RESULT).unlink(missing_ok=True)  # it describes other arrays
            for name, content in files.items():
                write_atomically(folder / f"{name}.npy", content)
            entries = {
                name: Array(sha256=hashlib.sha256(content).hexdigest(), length=len(arrays[name]))
                for name, content in files.items()
            }
            result = Result.model_validate({**result.model_dump(), "arrays": entries})
        write_atomically(folder / RESULT, as_json(result).encode())
        if arrays is not None:
            self._remove_arrays(folder, set(get_args(ArrayName)) - arrays.keys())
        return result

    def copy(self, result: Result, source: Store) -> Result:
        """Write a result of another store, with its arrays as they are there, to the byte.

        Raises
        ------
        UserError
            If the arrays there were altered, or the folder cannot be written.
        """
        source.arrays(result)  # checks them
        theirs, folder = source.folder(result.cell.key), self.folder(result.cell.key)
        for name in result.arrays:
            write_atomically(folder / f"{name}.npy", (theirs / f"{name}.npy").read_bytes())
        write_atomically(folder / RESULT, as_json(result).encode())
        self._remove_arrays(folder, set(get_args(ArrayName)) - result.arrays.keys())
        return result

    @staticmethod
    def _remove_arrays(folder: Path, names: Iterable[str]) -> None:
        with explain_errors(folder):
            for name in names:
                (folder / f"{name}.npy").unlink(missing_ok=True)

    def read(self, key: CellKey) -> Result | None:
        """Read a cell's result, or None if there is none.

        Raises
        ------
        UserError
            If the file is not a result, or is the result of another cell.
        """
        path = self.folder(key) / RESULT
        if not path.exists():
            return None
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} is not a result: {error.strerror}; move it away, or use --fresh") from error
        return self.parse(content, path)

    def parse(self, content: bytes, path: Path) -> Result:
        """Parse the content of a result file.

        Raises
        ------
        UserError
            If it is not a result, or its cell does not belong to the path.
        """
        try:
            result = Result.model_validate_json(content)
            if result.status == "ok" and "values" not in result.arrays:
                raise ValueError("it has no values")
        except ValueError as error:
            raise UserError(
                f"{path} is not a result of this version of dvbench: {validation_message(error)}; "
                "move it away, or run the suite again with --fresh"
            ) from error
        if self.folder(result.cell.key) != path.parent:
            raise UserError(f"{path} is the result of another cell ({result.cell.key}); move it away, or use --fresh")
        return result

    def array(self, result: Result, name: ArrayName) -> np.ndarray:
        """Load an array of a result and check it against its hash.

        Returns
        -------
        numpy.ndarray of shape (n,)
            Float64, except those named in `DTYPES`. Others may be saved in half precision.

        Raises
        ------
        UserError
            If the file is missing, was altered, or is not a plain array.
        """
        path = self.folder(result.cell.key) / f"{name}.npy"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; run the cell again with --fresh") from error
        if hashlib.sha256(content).hexdigest() != result.arrays[name].sha256:
            raise UserError(f"{path} does not match the hash in {RESULT}; run the cell again with --fresh")
        length = result.arrays[name].length
        try:
            array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False, max_header_size=1000)
        except Exception as error:  # numpy raises many kinds of errors for files that it did not write
            raise UserError(f"{path} is not a plain array: {one_line(error)}; move it away") from error
        allowed = [DTYPES[name]] if name in DTYPES else [np.float64, np.float16]
        if array.dtype not in allowed or array.shape != (length,) or not np.isfinite(array).all():
            raise UserError(f"{path} does not hold {length} finite numbers; move it away")
        return array if name in DTYPES else array.astype(np.float64, copy=False)

    def arrays(self, result: Result) -> dict[ArrayName, np.ndarray]:
        """Load all arrays of a result; see `array`."""
        return {name: self.array(result, name) for name in result.arrays}

    def remove(self, key: CellKey) -> None:
        """Delete a cell's folder."""
        folder = self.folder(key)
        with explain_errors(folder):
            (folder / RESULT).unlink(missing_ok=True)  # first: what is left of an interrupted removal is no result
            if folder.exists():
                shutil.rmtree(folder)

    def suites(self) -> list[str]:
        """Return the names of the suites that have a plan here."""
        return sorted(path.parent.name for path in self.root.glob(f"*/{PLAN}"))

    def results(self, suite: str) -> Iterator[Result]:
        """Yield all results of a suite, in the order of their paths.

        Raises
        ------
        UserError
            At the first file that is not a result.
        """
        for path in sorted((self.root / suite).glob(f"*/*/seed-*/{RESULT}")):
            yield self.parse(path.read_bytes(), path)

    def write_plan(self, plan: Plan) -> None:
        """Write the plan of a suite."""
        write_atomically(self.root / plan.suite / PLAN, as_json(plan).encode())

    def plan(self, suite: str) -> Plan | None:
        """Read the plan of a suite, or None if there is none.

        Raises
        ------
        UserError
            If the file is not a plan.
        """
        path = self.root / suite / PLAN
        return _read_model(path, Plan, "a plan") if path.exists() else None

    def submissions(self, suite: str | None = None) -> list[Submission]:
        """Read submissions that were copied here, in the order of their evaluators' names.

        Parameters
        ----------
        suite : str, optional
            Only submissions to this suite. A file that cannot be read belongs to it if its evaluator has cells there.

        Raises
        ------
        UserError
            If a file is not a submission, or is the submission of another evaluator.
        """
        submissions = []
        for path, submission in self.submission_files().items():
            if isinstance(submission, Submission):
                if suite is None or any(plan.suite == suite for plan in submission.plans):
                    submissions.append(submission)
            elif suite is None or any((self.root / suite).glob(f"*/{glob.escape(path.stem)}")):
                raise submission
        return submissions

    def submission_files(self) -> dict[Path, Submission | UserError]:
        """Read the files of submissions, in alphabetical order; the error stands for a file that cannot be read."""
        files: dict[Path, Submission | UserError] = {}
        for path in sorted((self.root / SUBMISSIONS).glob("[!.]*.json")):
            try:
                submission = _read_model(path, Submission, "a submission")
            except UserError as error:
                files[path] = error
                continue
            other = UserError(f"{path} is the submission of {submission.evaluator}; rename it")
            files[path] = submission if submission.evaluator == path.stem else other
        return files

    def write_submission(self, submission: Submission) -> None:
        """Write the description of a submission."""
        write_atomically(self.root / SUBMISSIONS / f"{submission.evaluator}.json", as_json(submission).encode())

    def verified(self, suite: str, evaluator: str) -> Verified | None:
        """Read the record of verification of an evaluator in a suite, or None if there is none.

        Raises
        ------
        UserError
            If the file is not such a record, or is the record of another evaluator.
        """
        path = self.root / VERIFIED / suite / f"{evaluator}.json"
        if not path.exists():
            return None
        record = _read_model(path, Verified, "a record of verification")
        if (record.suite, record.evaluator) != (suite, evaluator):
            raise UserError(f"{path} is the record of {record.evaluator} in {record.suite}; move it away")
        return record

    def fresh_runs(self) -> Iterator[FreshRun]:
        """Yield all runs on fresh seeds that are recorded here.

        Raises
        ------
        UserError
            If a file is not a record of verification.
        """
        for path in sorted((self.root / VERIFIED).glob("*/[!.]*.json")):
            record = _read_model(path, Verified, "a record of verification")
            if record.fresh is not None:
                yield record.fresh

    def write_verified(self, verified: Verified) -> None:
        """Write the record of verification of an evaluator in a suite."""
        path = self.root / VERIFIED / verified.suite / f"{verified.evaluator}.json"
        write_atomically(path, as_json(verified).encode())


def _dtype(name: str, array: np.ndarray) -> type[np.generic]:
    """Type in which an array is saved: that of its name, or float64, or float16 if it has that."""
    return DTYPES.get(name, np.float16 if np.asarray(array).dtype == np.float16 else np.float64)


def _npy(array: np.ndarray, dtype: type[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, dtype=dtype), allow_pickle=False)
    return buffer.getvalue()


def _read_model(path: Path, kind: type[Read], what: str) -> Read:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(f"{path} is not {what} of dvbench: {validation_message(error)}; move it away") from error
