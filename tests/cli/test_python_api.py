"""The functions of ``dvbench``: what the command line does, in Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from small_inputs import FOLDER, SUITE, tree

import dvbench
from dvbench.cli import main
from dvbench.errors import UserError
from dvbench.results import Store
from dvbench.suite import load_suite

COLUMNS = [
    "suite", "problem", "dataset", "model", "noise", "players", "evaluator", "seed", "task", "metric", "value",
    "higher_is_better", "status", "error", "seconds", "fits", "unlearned", "peak_memory", "device", "evaluator_version",
    "mark",
]  # fmt: skip
BROKEN = """
from opendataval.dataval import DataEvaluator

class Broken(DataEvaluator):
    def train_data_values(self, *args, **kwargs): raise ZeroDivisionError("by design")
    def evaluate_data_values(self): return None
"""
SCRIPT = """
import sys
import dvbench
assert not {"torch", "pandas", "pydantic", "numpy", "griffe"} & set(sys.modules)
open("started", "a").write("x")
scores = dvbench.run("tiny.toml", seeds=[0], evaluators=["random"], jobs=JOBS, progress=False)
print(scores["status"].tolist())
"""


def run_tiny(**options: object) -> pd.DataFrame:
    return dvbench.run("tiny.toml", **{"jobs": 0, "seeds": [0], **options})


def test_a_run_returns_the_scores_of_its_suite(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = run_tiny(seeds=None)
    assert capsys.readouterr() == ("", "")
    assert list(scores.columns) == COLUMNS
    assert scores[["evaluator", "seed"]].to_numpy().tolist() == [
        ["random", 0], ["knn_shapley", 0], ["random", 1], ["knn_shapley", 1],
    ]  # fmt: skip
    first = scores.iloc[0]
    results = {result.cell.key.evaluator: result for result in Store(here / "runs").results("tiny")}
    result = Store(here / "runs").read(results["random"].cell.key.model_copy(update={"seed": 0}))
    assert (first["suite"], first["problem"], first["dataset"]) == ("tiny", FOLDER, "digits")
    assert (first["model"], first["players"], first["task"]) == (
        "logistic_regression",
        "points",
        "noisy_label_detection",
    )
    assert (first["metric"], first["value"]) == ("auroc", result.scores["noisy_label_detection"].value)
    assert (first["status"], first["mark"], first["evaluator_version"]) == ("ok", "claimed", "0.1.0")
    assert (first["seconds"], first["peak_memory"]) == (result.seconds, result.cost.peak_memory)


def test_a_run_computes_what_the_command_computes(here: Path) -> None:
    assert main([str(word) for word in ("run", "tiny.toml", "--jobs", 0, "--results", "by-command")]) == 0
    run_tiny(seeds=None, results="by-function")
    arrays = [
        {name: content for name, content in tree(here / folder).items() if name.endswith(".npy")}
        for folder in ("by-command", "by-function")
    ]
    assert arrays[0] == arrays[1]
    assert len(arrays[0]) == 4


def test_finished_cells_are_kept(here: Path) -> None:
    run_tiny()
    before = tree(here / "runs")
    run_tiny()
    assert tree(here / "runs") == before


def test_progress_is_printed_if_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    run_tiny(progress=True, evaluators=["random"])
    assert capsys.readouterr().out.startswith("tiny: 1 cell, 0 done before, 1 to do, in this process\n")


def test_an_engine_that_does_not_exist_is_refused(here: Path) -> None:
    for wrong, message in (({"on": "slurm"}, "dvbench run --on slurm"), ({"address": "auto"}, "compute on 'ray'")):
        with pytest.raises(UserError, match=message):
            dvbench.run("tiny.toml", **wrong)
    assert not (here / "runs").exists()


def test_an_engine_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr("dvbench.execution.run.run_suite", lambda *arguments: given.append(arguments[2]))
    with pytest.raises(UserError):  # there are no results
        dvbench.run("tiny.toml", on="ray", address="10.0.0.1:6379")
    assert (given[0].on, given[0].address) == ("ray", "10.0.0.1:6379")


def test_evaluators_are_names_or_mappings() -> None:
    mapping = {"name": "KNNShapley", "label": "knn-9", "params": {"k_neighbors": 9}}
    scores = run_tiny(evaluators=["random", mapping])
    assert scores["evaluator"].tolist() == ["random", "knn-9"]
    (cell,) = [result.cell for result in Store(Path("runs")).results("tiny") if result.cell.key.evaluator == "knn-9"]
    assert (cell.evaluator.name, cell.evaluator.params) == ("knn_shapley", {"k_neighbors": 9})


def test_a_suite_may_be_an_object() -> None:
    assert len(dvbench.run(load_suite("tiny.toml"), seeds=[0], jobs=0)) == 2


def test_failures_are_rows(here: Path) -> None:
    (here / "loose_api.py").write_text(BROKEN)
    scores = run_tiny(evaluators=["loose_api:Broken", "random"]).set_index("evaluator")
    assert scores["status"].to_dict() == {"loose_api.Broken": "failed", "random": "ok"}
    assert scores.loc["loose_api.Broken", "error"].startswith("ZeroDivisionError: by design")
    assert scores["value"].isna().to_dict() == {"loose_api.Broken": True, "random": False}


def test_missing_results_are_rows(here: Path) -> None:
    run_tiny()
    store = Store(here / "runs")
    store.remove(next(store.results("tiny")).cell.key)
    assert sorted(dvbench.load_results("runs")["status"]) == ["missing", "ok"]


def test_results_of_several_suites(here: Path) -> None:
    run_tiny()
    (here / "other.toml").write_text(SUITE)
    dvbench.run("other.toml", evaluators=["random"], seeds=[0], jobs=0)
    assert dvbench.load_results("runs")["suite"].tolist() == ["other", "tiny", "tiny"]
    assert dvbench.load_results("runs", "other")["suite"].tolist() == ["other"]
    with pytest.raises(UserError, match="no suite with results is named 'othr': did you mean 'other'"):
        dvbench.load_results("runs", "othr")


def test_a_leaderboard(here: Path) -> None:
    run_tiny()
    assert dvbench.build_leaderboard("runs") == Path("runs/leaderboard/index.html")
    assert dvbench.build_leaderboard("runs", here / "pages") == here / "pages/index.html"
    assert (here / "pages/tiny.md").is_file()


@pytest.mark.parametrize(
    "call",
    [
        lambda: dvbench.run("no-such-suite"),
        lambda: run_tiny(evaluators=["no_such_evaluator"]),
        lambda: run_tiny(evaluators=[{"label": "nameless"}]),
        lambda: run_tiny(evaluators="random"),
        lambda: run_tiny(datasets="digits"),
        lambda: run_tiny(seeds=0),
        lambda: run_tiny(device="tpu"),
        lambda: dvbench.load_results("no-such-folder"),
        lambda: dvbench.build_leaderboard("no-such-folder"),
        lambda: dvbench.verify("no-such-folder"),
    ],
)
def test_errors_are_user_errors(call) -> None:
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_mirror_is_set_for_the_run_only(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", "before")
    seen = []
    monkeypatch.setattr("dvbench.execution.run.check_suite", lambda suite: seen.append(os.environ["DVBENCH_MIRROR"]))
    run_tiny(mirror=here)
    assert seen == [str(here)]
    assert os.environ["DVBENCH_MIRROR"] == "before"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "jobs"), [("script", 0), ("script", 2), ("command", 2)])
def test_a_script_needs_no_guard_and_starts_once(here: Path, jobs: int, how: str) -> None:
    code = SCRIPT.replace("JOBS", str(jobs))
    (here / "loose_script.py").write_text(code)
    arguments = {"script": ["loose_script.py"], "command": ["-c", code]}[how]
    run = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=here)
    assert (run.returncode, run.stdout, run.stderr) == (0, "['ok']\n", "")
    assert (here / "started").read_text() == "x"


def test_dvbench_is_a_module() -> None:
    run = subprocess.run([sys.executable, "-m", "dvbench", "--version"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"dvbench {dvbench.__version__}\n")


@pytest.mark.parametrize(
    ("module", "name", "title"),
    [
        ("loose_été", "Évaluateur", "loose_ete.Evaluateur-"),
        ("loose_評価", "評価", "loose-"),
        ("_loose", "_Mine", "loose._Mine-"),
    ],
)
def test_an_evaluator_is_named_with_any_letters(here: Path, module: str, name: str, title: str) -> None:
    code = (
        "import numpy as np\nfrom opendataval.dataval import DataEvaluator\n"
        f"class {name}(DataEvaluator):\n    '''Any letters.'''\n"
        "    def train_data_values(self, *args, **kwargs): return self\n"
        "    def evaluate_data_values(self): return np.arange(len(self.x_train), dtype=float)\n"
    )
    (here / f"{module}.py").write_text(code)
    try:
        scores = run_tiny(evaluators=[f"{module}:{name}"])
    finally:
        sys.modules.pop(module, None)
    (evaluator,) = scores["evaluator"]
    assert scores["status"].tolist() == ["ok"]
    assert evaluator.startswith(title)
    assert evaluator.isascii()
    assert (here / "runs/tiny" / FOLDER / evaluator / "seed-0/values.npy").is_file()
