"""What the repository says of itself is true."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from dvbench import __version__
from dvbench.results import Store
from dvbench.suites import load_suite
from leaderboard.index import open_index
from leaderboard.standing import standing
from leaderboard.tables import rows_for_console

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_one_version():
    assert __version__ == PYPROJECT["project"]["version"] == version("dvbench")
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_pinned_list_is_what_is_installed():
    """tox resolves pyproject.toml, frozen by exclude-newer; the list for pip must be the same."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    everything = [Requirement(line) for line in lines]
    pinned = [each for each in everything if each.marker is None or each.marker.evaluate()]
    assert len(pinned) > 50
    different = {r.name: (str(r.specifier), version(r.name)) for r in pinned if version(r.name) not in r.specifier}
    assert not different
    wanted = {Requirement(text).name for text in PYPROJECT["project"]["dependencies"]}
    assert wanted <= {requirement.name for requirement in pinned}


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "README.md"])
def test_no_host_of_a_registry_is_named(name):
    assert not re.search(r"index-url|simple/|pypi\.org", (ROOT / name).read_text())


def test_the_readme_shows_the_published_table():
    readme = (ROOT / "README.md").read_text()
    shown = readme.partition("<!-- quick: begin -->\n")[2].partition("<!-- quick: end -->")[0]
    with open_index(Store(ROOT / "results"), "quick") as index:
        headers, rows = rows_for_console(standing(index))
    lines = [headers, ["---"] + ["---:"] * (len(headers) - 1), *rows]
    assert shown.splitlines() == [f"| {' | '.join(line)} |" for line in lines]


@pytest.mark.parametrize("suite", Store(ROOT / "results").suites())
def test_published_results_are_whole(suite):
    """Every planned cell is there, is ok in every task, and its values match their hashes."""
    store, plan = Store(ROOT / "results"), load_suite(suite).plan()
    assert store.plan(suite) == plan
    for cell in plan.cells:
        result = store.read(cell.key)
        assert result is not None, cell.key
        assert (result.status, result.cell) == ("ok", cell)
        assert {name for name, score in result.scores.items() if score.error is None} == set(cell.tasks)
        assert len(store.array(result, "values")) == (result.dataset.players or result.dataset.train)


def test_the_suite_quick_is_marked_as_recomputed():
    """After a change of results: dvbench verify results --suite quick --into results."""
    with open_index(Store(ROOT / "results"), "quick") as index:
        marks = standing(index).cells["mark"]
    assert set(marks) <= {"recomputed", "re-run"}


def test_the_workflow_runs_commands_that_exist():
    workflow = yaml.safe_load((ROOT / ".github/workflows/leaderboard.yml").read_text())
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    commands = re.findall(r"dvbench ((?:leaderboard )?[a-z-]+)", " ".join(steps))
    assert set(commands) == {"verify", "leaderboard build"}
    from dvbench.cli import main

    for command in set(commands):
        assert main([*command.split(), "--help"]) == 0


def test_the_workflow_reads_pull_requests_and_runs_the_main_branch():
    workflow = yaml.safe_load((ROOT / ".github/workflows/leaderboard.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow[True]  # YAML reads "on" as true
    steps = workflow["jobs"]["verify"]["steps"]
    checkouts = {step["with"]["path"]: step["with"] for step in steps if "checkout" in step.get("uses", "")}
    assert "base.sha" in checkouts["base"]["ref"]
    assert not any(each["persist-credentials"] for each in checkouts.values())
    assert all("--project base" in step["run"] for step in steps if "uv run" in step.get("run", ""))


def test_the_readmes_evaluator_works(tmp_path, monkeypatch):
    from dvbench.cli import main

    code = re.search(r"```python\n(# mine\.py\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    words = "run quick --evaluator mine:LossAtEnd --dataset digits --task noisy_label_detection --seeds 0 --jobs 0"
    assert main(words.split()) == 0
    (result,) = Store(tmp_path / "runs").results("quick")
    assert result.scores["noisy_label_detection"].metrics["auroc"] > 0.8


def test_the_readmes_unlearning_method_works(tmp_path, monkeypatch):
    from dvbench.cli import main

    code = re.search(r"```python\n(# my_method\.py\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    (tmp_path / "my_method.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    words = "run unlearning-cpu --evaluator my_method:Rehearse --dataset digits --seeds 0 --jobs 0"
    assert main(words.split()) == 0
    (result,) = Store(tmp_path / "runs").results("unlearning-cpu")
    assert result.scores["output_divergence"].value < 0.1
    assert main(["figures", "unlearning-cpu"]) == 0
    assert (tmp_path / "runs" / "figures" / "unlearning-cpu" / "loss_densities.svg").is_file()
