"""``run --on``: what is refused, and SLURM with a program in place of sbatch that keeps the script."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

import pytest
from small_inputs import tree

from dvbench.results import Store

SBATCH = '#!/bin/sh\n{before}cp "$1" {script}\necho Submitted batch job 77\n'
RUN = ("run", "tiny.toml", "--on", "slurm", "--results", "shared")
has_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="submitit (dvbench[slurm]) is not installed"
)


@pytest.fixture
def script(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of the script that is submitted, after the commands of SLURM were put on the PATH."""
    programs = here / "programs"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH.format(before="", script=here / "script.sh")), ("srun", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return here / "script.sh"


@pytest.mark.slow
@has_submitit
def test_the_script_asks_for_what_the_command_says(dvbench, here: Path, script: Path) -> None:
    said = dvbench(*RUN, "--partition", "long", "--time", "90min", "--jobs", 3, "--tasks", 5, "--sbatch", "account=lab")
    assert (said.code, said.err) == (0, "")
    assert "job 77 is submitted for 4 cells: 5 tasks, each with 3 cores" in said.out
    assert "squeue --job 77" in said.out
    lines = script.read_text().splitlines()
    flags = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert {"array=0-4%5", "partition=long", "time=90", "cpus-per-task=3", "account=lab", "requeue", "nodes=1"} <= flags
    (memory,) = [flag.removeprefix("mem=").removesuffix("GB") for flag in flags if flag.startswith("mem=")]
    assert f"each with 3 cores, {memory} GB and 90min" in said.out
    assert not any(flag.startswith("gpus") for flag in flags)
    (command,) = [line for line in lines if line.startswith("srun")]
    words = shlex.split(command)
    assert "--cpus-per-task=3" in words
    assert words[words.index("submitit.core._submit") + 1] == str(here / "shared/.slurm")
    assert sys.executable in words


@pytest.mark.slow
@has_submitit
def test_a_task_runs_the_same_command_without_what_is_for_the_submission(dvbench, here: Path, script: Path) -> None:
    from submitit.core.utils import DelayedSubmission

    said = dvbench(*RUN, "--time", "1h", "--seeds", "0,3", "--evaluator", "random", "--evaluator", "lava", "--fresh")
    assert said.code == 0, said.err
    (pickled,) = (here / "shared/.slurm").glob("77*_submitted.pkl")
    words = DelayedSubmission.load(pickled).function.words
    assert " ".join(words[:-2]) == (
        "run tiny.toml --evaluator random --evaluator lava --seeds 0,3 --results shared --device auto"
    )
    assert words[-2:] == ["--jobs", "4"]
    assert len(Store(here / "shared").plan("tiny").cells) == 4


@pytest.mark.slow
@has_submitit
def test_what_is_done_is_not_submitted(dvbench, script: Path) -> None:
    assert dvbench("run", "tiny.toml", "--results", "shared", "--jobs", 0).code == 0
    said = dvbench(*RUN, "--time", "1h")
    assert (said.code, "all cells are done" in said.out) == (0, True)
    assert not script.exists()


@pytest.mark.slow
@has_submitit
def test_what_slurm_refuses_is_one_line_and_nothing_is_removed(dvbench, refused, here: Path, script: Path) -> None:
    assert dvbench("run", "tiny.toml", "--results", "shared", "--jobs", 0).code == 0
    before = tree(here / "shared")
    said = "echo sbatch: error: invalid partition specified: x >&2\nexit 1\n"
    (here / "programs/sbatch").write_text(SBATCH.format(before=said, script=script))
    assert "invalid partition" in refused(*RUN, "--time", "1h", "--partition", "x", "--fresh")
    assert before.items() <= tree(here / "shared").items()


@pytest.mark.slow
@has_submitit
@pytest.mark.parametrize("words", [("--time", "2min"), ("--time", "1h", "--evaluator", "loose_engines:Unknown")])
def test_nothing_is_removed_for_a_job_that_cannot_be_planned(dvbench, refused, here: Path, script, words) -> None:
    assert dvbench("run", "tiny.toml", "--results", "shared", "--jobs", 0).code == 0
    (here / "loose_engines.py").write_text("class Unknown:\n    pass\n")
    before = tree(here / "shared")
    assert "--t" in refused(*RUN, *words, "--fresh")
    assert tree(here / "shared") == before
    assert not script.exists()


@pytest.mark.slow
@has_submitit
def test_without_slurm_is_one_line(refused, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no commands sbatch and srun here" in refused(*RUN, "--time", "1h")
    assert not (here / "shared").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--time 4h"),
        (["--time", "4"], "a number with a unit"),
        (["--time", "4h", "--sbatch", "=x"], "an option of sbatch"),
        (["--time", "4h", "--sbatch", "qos="], "an option of sbatch"),
        (["--time", "4h", "--sbatch", "a b"], "an option of sbatch"),
        (["--time", "4h", "--sbatch", "time=5"], "use --time instead of --sbatch time"),
        (["--time", "4h", "--tasks", "0"], "range"),
    ],
)
def test_what_is_refused(refused, here: Path, words: list[str], message: str) -> None:
    assert message in refused(*RUN, *words)
    assert not (here / "shared").exists()


def test_without_submitit_is_one_line(refused, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install 'dvbench[slurm]'" in refused(*RUN, "--time", "1h")
    assert not (here / "shared").exists()


def test_without_ray_is_one_line(refused, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'dvbench[ray]'" in refused("run", "tiny.toml", "--on", "ray")
    assert not (here / "runs").exists()
    assert "--address is an option of --on ray" in refused("run", "tiny.toml", "--address", "127.0.0.1:6379")


@pytest.mark.parametrize("option", [("--partition", "x"), ("--time", "1h"), ("--tasks", 2), ("--sbatch", "a=b")])
def test_options_of_slurm_without_it_are_refused(refused, here: Path, option: tuple[object, ...]) -> None:
    assert "--on slurm" in refused("run", "tiny.toml", *option)
    assert not (here / "runs").exists()
