"""Bundles that nothing was computed for, whole as to their form; and archives made of whatever files."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dvbench.execution.resume import task_metadata
from dvbench.results import About, Cell, Cost, Dataset, Environment, Result, Score, Store, Submission
from dvbench.results.schema import as_json
from dvbench.settings import EvaluatorSettings
from dvbench.submission.checks import planned_cells
from dvbench.submission.pack import zipped

MINE = EvaluatorSettings(name="loose_mine:Mine")
TITLE = MINE.title
ABOUT = About(
    name="Mine", version="1", authors=("Ada",), reference="unpublished", code="https://example.org/mine", licence="MIT"
)
TOML = "\n".join(f"{field} = {list(value) if isinstance(value, tuple) else value!r}" for field, value in ABOUT)
SUBMISSION = f"submissions/{TITLE}.json"
ENVIRONMENT = Environment(platform="any", processor="any", cores=1, device="cpu", python="3.11", packages={})
Files = dict[str, bytes]


def made_up_result(cell: Cell) -> Result:
    scores = {}
    for name in cell.tasks:
        metadata = task_metadata(name)
        actual = {"metrics": {str(metadata["headline"]): 0.5}, "curves": {"c": [0.1, 0.2]}}
        scores[name] = Score.model_validate({**metadata, **actual})
    return Result(
        dvbench_version="0.1.0",
        cell=cell,
        status="ok",
        evaluator_object=cell.evaluator.name,
        evaluator_version="1",
        dataset=Dataset(
            revision="0" * 64,
            kind="classification",
            train=cell.problem.sizes.train,
            players=cell.problem.groups.count if cell.problem.groups else None,
            validation=10,
            test=10,
        ),
        scores=scores,
        cost=Cost(seconds=1, fits=1, peak_memory=1),
        environment=ENVIRONMENT,
    )


def made_up_files(cells: int = 2, settings: EvaluatorSettings = MINE, suite: str = "quick") -> Files:
    """Files of the first cells of a suite, with a submission that lists them."""
    plan = planned_cells(suite, settings)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for number, cell in enumerate(plan.cells[:cells]):
            players = (cell.problem.groups and cell.problem.groups.count) or cell.problem.sizes.train
            store.write(
                made_up_result(cell), {"values": np.random.default_rng(number).permutation(players).astype(float)}
            )
        actual = {
            str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
        }
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in actual.items()}
    submission = Submission(evaluator=settings.title, about=ABOUT, plans=(plan,), files=hashes)
    return {**actual, f"submissions/{settings.title}.json": as_json(submission).encode()}


def relisted(files: Files, submission: str = SUBMISSION) -> Files:
    """The same with the hashes that the files have now: a fault that is not given away by a hash."""
    said = json.loads(files[submission])
    said["files"] = {
        path: hashlib.sha256(content).hexdigest()
        for path, content in files.items()
        if not path.startswith("submissions/")
    }
    return {**files, submission: json.dumps(said).encode()}


def result_path(files: Files, position: int = 0) -> str:
    return sorted(path for path in files if path.endswith("result.json"))[position]


def with_result(files: Files, change: Callable[[Any], object], position: int = 0) -> Files:
    """Alter a result as a cheat would: what is listed is right again."""
    path = result_path(files, position)
    said = json.loads(files[path])
    change(said)
    return relisted({**files, path: json.dumps(said).encode()})


def with_values(files: Files, content: bytes | np.ndarray, position: int = 0, length: int | None = None) -> Files:
    """Put other values in place, with all hashes right again."""
    if isinstance(content, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, content, allow_pickle=True)
        length = len(content) if length is None else length
        content = buffer.getvalue()
    path = result_path(files, position).replace("result.json", "values.npy")

    def describe(result: Any) -> None:
        result["arrays"]["values"]["sha256"] = hashlib.sha256(content).hexdigest()
        if length is not None:
            result["arrays"]["values"]["length"] = length

    return with_result({**files, path: content}, describe, position)


def with_submission(files: Files, change: Callable[[Any], object]) -> Files:
    (path,) = (path for path in files if path.startswith("submissions/"))
    said = json.loads(files[path])
    change(said)
    return {**files, path: json.dumps(said).encode()}


def in_schema_1(files: Files) -> Files:
    """The same bundle as an earlier version of dvbench wrote it."""
    older = dict(files)
    for path in files:
        if path.endswith("result.json"):
            said = json.loads(files[path])
            dataset = {("reachable" if name == "validation" else name): n for name, n in said["dataset"].items()}
            said |= {"schema_version": 1, "cell": _cell_in_schema_1(said["cell"]), "dataset": dataset}
            for score in said["scores"].values():
                del score["axes"]
            older[path] = json.dumps(said).encode()

    def plans(said: Any) -> None:
        for plan in said["plans"]:
            plan |= {"schema_version": 1, "cells": [_cell_in_schema_1(cell) for cell in plan["cells"]]}

    return with_submission(relisted(older), plans)


def _cell_in_schema_1(cell: dict[str, Any]) -> dict[str, Any]:
    problem = dict(cell["problem"])
    assert problem["dataset"]["params"] == {}
    problem["dataset"] = problem["dataset"]["name"]
    problem["sizes"] = {("reachable" if name == "validation" else name): n for name, n in problem["sizes"].items()}
    return {**problem, **{name: value for name, value in cell.items() if name != "problem"}}


def write_zip(path: Path, files: Files) -> Path:
    path.write_bytes(zipped(files))
    return path
