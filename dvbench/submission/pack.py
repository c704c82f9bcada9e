"""Packs all results of one evaluator into a bundle, after every check that needs no computation."""

from __future__ import annotations

import io
import stat
import tempfile
import tomllib
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from dvbench.errors import UserError, counted, validation_message
from dvbench.execution.resume import UNKNOWN, evaluator_version
from dvbench.files import write_atomically
from dvbench.registry import find, suite_files
from dvbench.results import About, Cell, Plan, Store, Submission
from dvbench.results.schema import as_json
from dvbench.settings import EvaluatorSettings
from dvbench.submission.bundle import Bundle, read_bundle, refusing
from dvbench.submission.checks import check_cells, check_identity, check_plans, fault_of, planned_cells, remarks
from dvbench.submission.folder import suites_of
from dvbench.suite import load_suite

FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal results give equal archives


@dataclass
class Packed:
    """The content of a written bundle.

    Parameters
    ----------
    path : Path
    bytes : int
    cells : int
    suites : list of str
    remarks : list of str
        What was left out, and what should be looked at.
    """

    path: Path
    bytes: int = 0
    cells: int = 0
    suites: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def pack(results: Path, evaluator: str, about: Path, out: Path | None = None) -> Packed:
    """Write a bundle.

    Parameters
    ----------
    results : Path
        Folder of results.
    evaluator : str
        Its name in results and tables, or ``module:Class``.
    about : Path
        TOML file with the fields of `About`.
    out : Path, optional
        By default the evaluator's name with ``.zip``, in the current folder.

    Raises
    ------
    UserError
        If there is nothing to pack, or the bundle would be refused.
    """
    title = EvaluatorSettings(name=evaluator).title
    packed = Packed(out or Path(f"{title}.zip"))
    if packed.path.suffix != ".zip":
        raise UserError(f"{packed.path} must end in .zip")
    if not results.is_dir():
        raise UserError(f"there is no folder {results}{_also_wrong(about)}")
    try:
        plans, files = _gather(Store(results), title, packed)
    except UserError as error:
        raise UserError(f"{error}{_also_wrong(about)}") from error
    description = read_about(about)
    hashes = {path: sha256(content).hexdigest() for path, content in files.items()}
    submission = Submission(evaluator=title, about=description, plans=tuple(plans), files=hashes)
    files[f"submissions/{title}.json"] = as_json(submission).encode()
    content = zipped(files)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, packed.path.name)
        written.write_bytes(content)
        bundle = read_bundle(written, Path(folder, "read"))
        with refusing(packed.path, bundle.store.root):
            check_plans(submission)
            check_cells(bundle)
            check_identity(bundle)
        _refuse_outdated(bundle)
        packed.remarks += [*_undescribed(plans[0].cells[0].evaluator), *remarks(bundle)]
    write_atomically(packed.path, content)
    packed.bytes = len(content)
    return packed


def read_about(path: Path) -> About:
    """Read the description of an evaluator by its authors.

    Raises
    ------
    UserError
        If there is no such file, or a field is missing or invalid.
    """
    fields = ", ".join(About.model_fields)
    try:
        return About.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; write a TOML file with {fields}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        invalid = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
        empty = [not detail["input"] or detail["type"] == "missing" for detail in error.errors()]
        if invalid and all(empty):
            raise UserError(f"{path}: fill in {', '.join(invalid)}") from error
        hint = f"correct {', '.join(invalid)}" if invalid else f"its fields are {fields}"
        raise UserError(f"{path}: {hint} ({validation_message(error)})") from error


def _also_wrong(about: Path) -> str:
    """Say what is wrong with a description, after another error; empty if it is right."""
    try:
        read_about(about)
    except UserError as error:
        return f"; and {error}"
    return ""


def _undescribed(settings: EvaluatorSettings) -> list[str]:
    """Remark on an evaluator without a docstring; none if its source is not here."""
    try:
        entry = find(settings.kind, settings.name)
    except UserError:
        return []
    return [f"{entry.name} has no docstring, which would say what it computes"] if entry.lacks_docstring else []


def zipped(files: dict[str, bytes]) -> bytes:
    """Make a zip archive of files; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, FIXED_TIME)
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, files[path], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _refuse_outdated(bundle: Bundle) -> None:
    """Raise a `UserError` if results are of another version of the evaluator than the one that is here, if one is."""
    results = list(bundle.results())
    try:
        here = {evaluator_version(result.cell.evaluator) for result in results}
    except UserError:
        return
    if UNKNOWN in here:
        return
    old = [result.cell for result in results if result.evaluator_version not in here]
    if old:
        suites = list(dict.fromkeys(cell.key.suite for cell in old))
        again = "; ".join(f"dvbench run {suite} --evaluator {old[0].evaluator.name}" for suite in suites)
        raise UserError(f"{counted(len(old), 'cell')} came before the last change of the evaluator; run again: {again}")


def _gather(store: Store, title: str, packed: Packed) -> tuple[list[Plan], dict[str, bytes]]:
    """Collect the plans of the suites that have results of an evaluator, and the files of the planned cells."""
    plans, files = [], dict[str, bytes]()
    for suite in suites_of(store.root, title):
        plan = _plan(store, suite, title, packed)
        cell_files = _cells(store, plan, packed) if plan else {}
        if plan and cell_files:
            plans.append(plan)
            files |= cell_files
            packed.suites.append(suite)
    if not plans:
        reason = f": {packed.remarks[0]}" if packed.remarks else ""
        raise UserError(
            f"{store.root} has no results of {title} that can be submitted{reason}; see 'dvbench run --help'"
        )
    return plans, files


def _plan(store: Store, suite: str, title: str, packed: Packed) -> Plan | None:
    """Plan what the evaluator has to compute in a suite; None if its results there cannot be submitted."""
    own = [result for result in store.results(suite) if result.cell.key.evaluator == title]
    if suite not in suite_files():
        packed.remarks.append(f"left out: '{suite}' is not a suite of dvbench")
        return None
    version = load_suite(suite).version
    current = [result for result in own if result.cell.suite_version == version]
    if not current:
        packed.remarks.append(
            f"left out: no result of suite '{suite}' is of its current version {version}; run it again"
        )
        return None
    settings = Counter(result.cell.evaluator.model_dump_json() for result in current)
    if len(settings) > 1:
        raise UserError(f"{title} has {len(settings)} settings in suite '{suite}'; run it again with --fresh")
    return planned_cells(suite, current[0].cell.evaluator)


def _cells(store: Store, plan: Plan, packed: Packed) -> dict[str, bytes]:
    """Read the files of the planned cells that have a valid result."""
    planned: dict[str, Cell] = {cell.key.folder: cell for cell in plan.cells}
    title, files = plan.cells[0].key.evaluator, dict[str, bytes]()
    left_out = []
    for result in store.results(plan.suite):
        folder, cell = result.cell.key.folder, planned.get(result.cell.key.folder)
        if result.cell.key.evaluator != title:
            continue
        fault = "its suite has no such problem or seed" if cell is None else fault_of(result, cell)
        if fault:
            left_out.append(f"left out: {folder}: {fault}")
            continue
        for name in ("result.json", *(f"{array}.npy" for array in result.arrays)):
            files[f"{folder}/{name}"] = (store.root / folder / name).read_bytes()
        packed.cells += 1
    packed.remarks += left_out
    return files


def summary(packed: Packed) -> list[str]:
    """Describe a written bundle, and the next step, line by line."""
    size = f"{packed.bytes / 2**10:,.0f} KiB"
    return [
        *packed.remarks,
        f"{packed.path}: {counted(packed.cells, 'cell')} of {', '.join(packed.suites)}, {size}",
        f"next: dvbench verify {packed.path}",
    ]
