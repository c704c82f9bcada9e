"""What an untrusted bundle makes `dvbench verify` compute has bounds, and what exceeds them remains claimed."""

from __future__ import annotations

import json
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_bundles import MINE, Files, made_up_files, relisted, result_path

from dvbench.execution.limits import Limits
from dvbench.results import Store
from dvbench.settings import EvaluatorSettings
from dvbench.submission.bounds import limits_of_cell, too_many_steps
from dvbench.submission.checks import planned_cells
from dvbench.submission.rerun import value_and_score

ASCENT = {"evaluator_object": "dvbench.unlearning_methods.plain_ascent:PlainAscent"}


def method(**params: object) -> EvaluatorSettings:
    return EvaluatorSettings(kind="unlearning", name="plain_ascent", label="mine", params=params)


def bundle_of(settings: EvaluatorSettings) -> Files:
    """One cell of `unlearning-cpu`, with made-up scores of a method that dvbench has."""
    files = made_up_files(1, settings, "unlearning-cpu")
    path = result_path(files)
    said = json.loads(files[path]) | ASCENT
    said["dataset"]["players"] = len(said_values(files))
    return relisted({**files, path: json.dumps(said).encode()}, "submissions/mine.json")


def said_values(files: Files) -> bytes:
    return files[result_path(files).replace("result.json", "values.npy")][128::8]


@pytest.mark.parametrize(
    ("params", "allowed"),
    [
        ({}, True),
        ({"steps": 1000}, True),
        ({"steps": 1001}, False),
        ({"steps": 10**7}, False),
        ({"batch_size": 10**9, "steps": 1}, False),
        ({"steps": "many"}, True),  # it cannot be made, which is found when it is run
    ],
)
def test_steps_are_compared_with_those_of_the_suite(params: dict[str, Any], allowed: bool) -> None:
    (cell, *_) = planned_cells("unlearning-cpu", method(**params)).cells
    reason = too_many_steps(cell)
    assert (reason is None) == allowed
    if reason is not None:
        assert reason.endswith("and suite 'unlearning-cpu' allows 32,000")


def test_a_method_with_very_many_steps_is_not_run(dvbench, bundle, here: Path) -> None:
    started = time.perf_counter()
    said = dvbench("verify", bundle(bundle_of(method(steps=10**7))), "--jobs", 0, "--into", "published")
    assert said.code == 0
    assert "its scores remain claimed: it unlearns with 320,000,000 points, and suite 'unlearning-cpu'" in said.out
    assert said.out.splitlines()[-1].startswith("1 cell, 0 recomputed, 0 re-run, 0 failed, 1 left as claimed")
    assert not (here / "published/verified").exists()
    assert time.perf_counter() - started < 60


@pytest.mark.parametrize("jobs", [0, 1])
def test_scores_that_take_too_long_remain_claimed(
    dvbench, bundle, honest: Files, here: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    def limits(seconds: float, processes: int) -> Limits:
        return Limits(0.001, None)

    monkeypatch.setattr("dvbench.submission.verify.limits_of_cell", limits)
    said = dvbench("verify", bundle(honest), "--jobs", jobs, "--into", "published")
    assert said.code == 0
    assert re.search("remains claimed: (the worker process )?timed out|remain claimed: there was no time", said.out)
    # The first alarm can fall into code where Python ignores exceptions; until the next one, cells are scored.
    counts = re.search(r"3 cells, (\d) recomputed, 0 re-run, 0 failed, (\d) left as claimed, 0 mismatches", said.out)
    assert counts is not None
    assert int(counts[1]) + int(counts[2]) == 3 > int(counts[1])


def test_scores_that_take_too_much_memory_remain_claimed(
    dvbench, bundle, honest: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvbench.submission.verify.limits_of_cell", lambda *_: Limits(None, 2**28))
    monkeypatch.setattr("dvbench.scoring.retraining.Retraining._train", lambda *_: np.ones(2**27))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    said = dvbench("verify", bundle(honest), "--jobs", 0)
    assert said.code == 0
    assert "point_removal remains claimed: MemoryError: Unable to allocate 1.00 GiB" in said.out
    assert "0 mismatches" in said.out
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_bundle_has_the_time_of_few_cells(dvbench, bundle, honest: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvbench.submission.verify.CELLS_PER_BUNDLE", 0)
    said = dvbench("verify", bundle(honest), "--jobs", 0)
    assert said.code == 0
    assert "remark: 2 cells remain claimed: there was no time to score them again" in said.out
    assert said.out.splitlines()[-1] == "3 cells, 1 recomputed, 0 re-run, 0 failed, 2 left as claimed, 0 mismatches"


@pytest.mark.usefixtures("installed")
def test_values_that_repeat_do_not_verify_scores_that_were_not_computed(
    dvbench, bundle, honest: Files, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvbench.submission.verify.CELLS_PER_BUNDLE", 0)
    said = dvbench("verify", bundle(honest), "--jobs", 0, "--sample", 3, "--trust", MINE.name, "--into", "published")
    assert said.code == 0
    assert said.out.count("its values repeat, but its scores remain claimed") == 2
    assert "1 re-run, 0 failed, 2 left as claimed, 0 mismatches" in said.out.splitlines()[-1]
    (record,) = (json.loads(path.read_bytes()) for path in (here / "published/verified").rglob("*.json"))
    assert [cell["how"] for cell in record["cells"].values()] == ["re-run"]


def test_unlearning_methods_are_run_again_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        "dvbench.execution.run.run_cells", lambda *_, limits, **__: seen.append(limits) or (_ for _ in ())
    )
    (cell, *_) = planned_cells("unlearning-cpu", method()).cells
    value_and_score([cell], Store(tmp_path), "cpu", 0, limits=Limits(7, None))
    assert seen == [Limits(7, None)]


def test_processes_share_the_memory() -> None:
    one, three = limits_of_cell(5, 1), limits_of_cell(5, 3)
    assert one.seconds == three.seconds == 5
    assert one.memory is not None
    assert three.memory == one.memory // 3
    assert 2**28 < one.memory < 0.76 * 2**50
    assert limits_of_cell(5, 0) == one


@pytest.mark.parametrize("part", ["dataset", "model"])
def test_parts_of_a_problem_that_are_not_known_are_not_imported(
    dvbench, runs: Path, here: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A results folder, whose plans are its own, can name any module; nothing of it is executed."""
    (here / "pwn.py").write_text("open('executed', 'w')\ndef X(*args, **kwargs): ...\n")
    monkeypatch.syspath_prepend(here)
    change: Callable[[Any], Any] = lambda cell: cell["problem"][part].update(name="pwn:X")  # noqa: E731
    for path in runs.rglob("*.json"):
        said = json.loads(path.read_bytes())
        for cell in said.get("cells", ()):
            change(cell)
        if "cell" in said:
            change(said["cell"])
        target = here / "theirs" / path.relative_to(runs)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(said))
    for path in runs.rglob("*.npy"):
        (here / "theirs" / path.relative_to(runs)).write_bytes(path.read_bytes())
    said = dvbench("verify", here / "theirs", "--jobs", 0, "--into", "recorded")
    assert said.code == 0
    assert "remark: scores that need pwn:X remain claimed: read its code, and add --trust pwn:X" in said.out
    assert "3 left as claimed, 0 mismatches" in said.out
    assert not (here / "executed").exists()
    assert Store(here / "recorded").submissions() == []
