"""``dvbench run``: cells, resuming, failures and Ctrl-C."""

from __future__ import annotations

import csv
import errno
import itertools
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_inputs import FOLDER, tree

from dvbench.console import ProgressReport
from dvbench.execution import run as execution
from dvbench.execution.limits import NO_LIMITS
from dvbench.execution.one_process import run_queue_here
from dvbench.results import Store

EVALUATORS = """
import os, signal
import numpy as np
from opendataval.dataval import DataEvaluator

class Mine(DataEvaluator):
    def __init__(self, random_state=None): super().__init__(random_state=random_state)
    def train_data_values(self, *args, **kwargs): return self
    def evaluate_data_values(self): return np.arange(len(self.x_train), dtype=float)

class Broken(Mine):
    def train_data_values(self, *args, **kwargs): raise ZeroDivisionError("by [bold]design[/bold]")

class Constant(Mine):
    def evaluate_data_values(self): return [0] * len(self.x_train)

class Interrupting(Mine):
    def train_data_values(self, *args, **kwargs): raise KeyboardInterrupt

class Signalled(Mine):
    def train_data_values(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        return self

class Later(Mine):
    valued = 0
    def train_data_values(self, *args, **kwargs):
        Later.valued += 1
        if Later.valued > 1: raise KeyboardInterrupt
        return self
"""


@pytest.fixture
def script(here: Path) -> None:
    (here / "loose_evaluators.py").write_text(EVALUATORS)


def run_tiny(dvbench, *more: object):
    return dvbench("run", "tiny.toml", "--jobs", 0, *more)


def test_a_suite_from_start_to_leaderboard(dvbench, here: Path) -> None:
    said = run_tiny(dvbench)
    assert (said.code, said.err) == (0, "")  # no progress bars of others either
    assert said.out.startswith("tiny: 4 cells, 0 done before, 4 to do, in this process\n")
    assert said.out.splitlines()[1:5] == [
        f"[{count}/4] {FOLDER} {name} seed {seed}: done"
        for count, (seed, name) in enumerate(itertools.product((0, 1), ("random", "knn_shapley")), start=1)
    ]
    assert said.out.endswith("leaderboard: runs/leaderboard/index.html\n")
    assert (here / "runs/leaderboard/index.html").read_text().lstrip().lower().startswith("<!doctype html>")
    with (here / "runs/leaderboard/tiny.csv").open() as file:
        assert {row["evaluator"] for row in csv.DictReader(file)} == {"random", "knn_shapley"}
    results = list(Store(here / "runs").results("tiny"))
    assert [result.cell.key.folder for result in results] == [
        f"tiny/{FOLDER}/{name}/seed-{seed}" for name in ("knn_shapley", "random") for seed in (0, 1)
    ]
    assert all(result.scores["noisy_label_detection"].value is not None for result in results)


def test_only_a_valuation_of_a_second_or_more_has_a_line_of_its_own(dvbench, here: Path, capsys) -> None:
    run_tiny(dvbench)
    capsys.readouterr()
    result, report = next(Store(here / "runs").results("tiny")), ProgressReport(2, None)
    for seconds in (0.4, 1.6):
        report.on_valued(result.model_copy(update={"cost": result.cost.model_copy(update={"seconds": seconds})}))
    assert report.valued == 2
    assert capsys.readouterr().out == f"{result.cell.key}: valued in 1.6 s\n"


def test_the_same_command_again_has_nothing_to_do(dvbench, here: Path) -> None:
    run_tiny(dvbench)
    before = tree(here / "runs")
    said = run_tiny(dvbench)
    assert said.code == 0
    assert said.out.startswith("tiny: 4 cells, 4 done before, 0 to do, in this process\n")
    assert tree(here / "runs") == before


def test_fresh_does_all_again_to_the_same_bits(dvbench, here: Path) -> None:
    run_tiny(dvbench)
    before = tree(here / "runs")
    said = run_tiny(dvbench, "--fresh")
    assert said.out.startswith("tiny: 4 cells, 0 done before, 4 to do")
    after = tree(here / "runs")
    arrays = [name for name in before if name.endswith(".npy")]
    assert len(arrays) == 4
    assert all(after[name] == before[name] for name in arrays)


def test_fresh_for_one_evaluator_leaves_the_others(dvbench, here: Path) -> None:
    run_tiny(dvbench)
    before = tree(here / "runs")
    said = run_tiny(dvbench, "--fresh", "--evaluator", "random")
    assert said.out.startswith("tiny: 2 cells, 0 done before, 2 to do")
    after = tree(here / "runs")
    assert {name for name in before if before[name] != after[name] and "/knn_shapley/" in name} == set()
    assert "tiny/plan.json" in after
    plan = Store(here / "runs").plan("tiny")
    assert plan is not None
    assert len(plan.cells) == 4


def test_seeds_and_results_folder(dvbench, here: Path) -> None:
    said = run_tiny(dvbench, "--seeds", "3,5-6", "--evaluator", "random", "--results", "else/where")
    assert said.code == 0
    assert [result.cell.key.seed for result in Store(here / "else/where").results("tiny")] == [3, 5, 6]
    assert not (here / "runs").exists()


def test_a_table_of_ones_own(dvbench, here: Path) -> None:
    said = run_tiny(dvbench, "--dataset", "csv:table.csv?label=kind", "--seeds", "0")
    assert said.code == 0
    (folder,) = (here / "runs/tiny").glob("csv-table-*-logistic_regression-labels0.2")
    assert sorted(path.name for path in folder.iterdir()) == ["knn_shapley", "random"]


@pytest.mark.usefixtures("script")
def test_an_evaluator_of_ones_own_beside_the_command(dvbench, here: Path) -> None:
    said = run_tiny(dvbench, "--evaluator", "loose_evaluators:Mine", "--evaluator", "random", "--seeds", "0")
    assert said.code == 0
    assert "loose_evaluators.Mine" in said.out
    assert (here / "runs/tiny" / FOLDER / "loose_evaluators.Mine/seed-0/values.npy").is_file()


@pytest.mark.usefixtures("script")
def test_a_failing_evaluator_is_shown_and_the_rest_goes_on(dvbench, here: Path) -> None:
    said = run_tiny(dvbench, "--evaluator", "loose_evaluators:Broken", "--evaluator", "random", "--seeds", "0")
    assert said.code == 1
    assert "Traceback" not in said.out + said.err
    key = f"{FOLDER} loose_evaluators.Broken seed 0"
    assert f"{key}: failed: ZeroDivisionError: by [bold]design[/bold] (" in said.out
    assert {r.cell.key.evaluator: r.status for r in Store(here / "runs").results("tiny")} == {
        "loose_evaluators.Broken": "failed",
        "random": "ok",
    }
    assert "failed" in (here / "runs/leaderboard/tiny.csv").read_text()
    again = run_tiny(dvbench, "--evaluator", "loose_evaluators:Broken", "--evaluator", "random", "--seeds", "0")
    assert again.code == 1
    assert again.out.startswith("tiny: 2 cells, 1 done before, 1 to do")


@pytest.mark.usefixtures("script")
def test_ctrl_c_keeps_what_is_finished(dvbench, here: Path) -> None:
    names = ("random", "loose_evaluators:Interrupting", "knn_shapley")
    said = run_tiny(dvbench, *(word for name in names for word in ("--evaluator", name)), "--seeds", "0")
    assert said.code == 130
    assert said.err == (
        "interrupted: 0 of 3 cells are done and 1 more valued, in runs; the same command continues from there\n"
    )
    assert [result.cell.key.evaluator for result in Store(here / "runs").results("tiny")] == ["random"]
    said = run_tiny(dvbench, "--seeds", "0")
    assert said.out.startswith("tiny: 2 cells, 0 done before, 2 to do")
    assert f"{FOLDER} random seed 0: valued before\n" in said.out
    assert "valued in" not in said.out  # it took no second


@pytest.mark.usefixtures("script")
def test_ctrl_c_keeps_what_is_scored(dvbench, here: Path) -> None:
    names = ("random", "loose_evaluators:Later", "knn_shapley")
    words = [word for name in names for word in ("--evaluator", name)]
    said = run_tiny(dvbench, *words, "--seeds", "0,1")
    assert said.code == 130
    assert said.err.startswith("interrupted: 3 of 6 cells are done and 1 more valued, in runs;")
    said = run_tiny(dvbench, "--seeds", "0,1")
    assert said.out.startswith("tiny: 4 cells, 2 done before, 2 to do")


@pytest.mark.usefixtures("script")
@pytest.mark.parametrize(("ignored", "code"), [((), 129), ((signal.SIGHUP,), 143)], ids=["heard", "as with nohup"])
def test_signals_end_a_run_as_ctrl_c_does_unless_they_are_ignored(
    dvbench, ignored: tuple[signal.Signals, ...], code: int
) -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        words = ("--evaluator", "random", "--evaluator", "loose_evaluators:Signalled", "--seeds", "0")
        said = run_tiny(dvbench, *words)
        assert [signal.getsignal(number) for number in ignored] == [signal.SIG_IGN for _ in ignored]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert said.code == code
    assert said.err == (
        "interrupted: 0 of 2 cells are done and 1 more valued, in runs; the same command continues from there\n"
    )
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_ctrl_c_at_any_other_time_says_nothing(dvbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write_plan", interrupt)
    said = run_tiny(dvbench)
    assert (said.code, said.err) == (130, "")


@pytest.mark.parametrize(("code", "reason"), [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only")])
def test_a_disk_that_takes_no_more_files_ends_the_run_in_one_line_and_it_continues_from_there(
    dvbench, refused, here: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    run_tiny(dvbench, "--results", "whole")
    actual, made = Path.open, []

    def full(path: Path, mode: str = "r", *how: Any, **more: Any) -> Any:
        made.extend([path] if mode == "xb" else [])
        if len(made) > 8 and mode == "xb":
            raise OSError(code, os.strerror(code))
        return actual(path, mode, *how, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        said = refused("run", "tiny.toml", "--jobs", 0)
    assert said.startswith("cannot write runs/tiny/")
    assert reason in said
    kept = list(Store(here / "runs").results("tiny"))
    assert 0 < len(kept) < 4
    assert not list((here / "runs").rglob(".*"))  # no temporary files
    assert run_tiny(dvbench).code == 0
    arrays = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*.npy")} for f in (here / "whole", here / "runs")]
    assert len(arrays[0]) == 4
    assert arrays[0] == arrays[1]


def test_jobs_and_time_limits_are_handed_on(dvbench, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def no_workers(queue, store, device, jobs, on_valued, limits):
        seen.append((device, jobs, limits.seconds))
        return run_queue_here(queue, store, device, on_valued, NO_LIMITS)

    monkeypatch.setattr(execution, "run_queue", no_workers)
    words = ("run", "tiny.toml", "--jobs", 3, "--evaluator", "random", "--device", "cpu", "--fresh")
    said = dvbench(*words)
    assert said.out.startswith("tiny: 2 cells, 0 done before, 2 to do, 3 at a time\n")
    dvbench(*words, "--cell-timeout", "1.5")
    (here / "tiny.toml").write_text("cell_timeout = 600\n" + (here / "tiny.toml").read_text())
    dvbench(*words)
    assert seen == [("cpu", 3, 86_400), ("cpu", 3, 1.5), ("cpu", 3, 600)]


@pytest.mark.parametrize("seconds", [0, -1, "nan", 1e300])
def test_a_time_limit_is_a_time(refused, seconds: object) -> None:
    assert refused("run", "tiny.toml", "--cell-timeout", seconds) == (
        "the time limit of a cell is above 0 and at most 31536000 seconds"
    )
