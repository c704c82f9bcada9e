"""What the repository says of itself is true."""

from __future__ import annotations

import configparser
import importlib.util
import re
import subprocess
import sys
import tomllib
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from dvbench.execution.costs import published_costs
from dvbench.execution.planning import make_plan
from dvbench.execution.resume import unfinished
from dvbench.registry import entries
from dvbench.results import Store
from dvbench.suite import load_suite
from dvbench.version import __version__
from leaderboard.index import open_index
from leaderboard.suite_scores import suite_scores

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


HOW_TO_EXPORT = """requirements.txt is not what is installed.
If you changed dependencies or exclude-newer, export the list again and make this environment again:
    uv lock
    uv export --no-hashes --no-dev --no-emit-project --no-annotate --no-header -o requirements.txt
    uv sync    (or: tox run --recreate)
If you changed neither, the package index shows uploads that it did not show when the list was made. Then set
exclude-newer in pyproject.toml to an earlier day, at least a month back, and do the same.
Different packages (pinned, installed): """


def test_one_version():
    assert __version__ == PYPROJECT["project"]["version"] == version("dvbench")
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (__version__, PYPROJECT["project"]["license"])


def test_the_pinned_list_is_what_is_installed():
    """tox resolves pyproject.toml, frozen by exclude-newer; the list for pip must be the same."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    everything = [Requirement(line) for line in lines]
    pinned = [requirement for requirement in everything if requirement.marker is None or requirement.marker.evaluate()]
    assert len(pinned) > 50
    different = {r.name: (str(r.specifier), version(r.name)) for r in pinned if version(r.name) not in r.specifier}
    assert not different, f"{HOW_TO_EXPORT}{different}"
    wanted = {Requirement(text).name for text in PYPROJECT["project"]["dependencies"]}
    assert wanted <= {requirement.name for requirement in pinned}


@pytest.mark.parametrize(
    "name",
    ["requirements.txt", "overrides.txt", "pyproject.toml", "tox.ini", "README.md", "CONTRIBUTING.md", ".ci/run"],
)
def test_no_host_of_a_registry_is_named(name):
    assert not re.search(r"index-url|simple/|pypi\.org", (ROOT / name).read_text())


# Suites whose results are published seed by seed, and budget by budget.
IN_PARTS = {"board-points-budgets", "board-points-tuned", "board-providers-budgets"}


@pytest.mark.parametrize("suite", Store(ROOT / "results").suites())
def test_published_results_are_whole(suite):
    """Every planned cell is there, is ok in every task or declined, of today's evaluators, and matches its hashes."""
    store, whole = Store(ROOT / "results"), make_plan(load_suite(suite))
    plan = store.plan(suite)
    if suite in IN_PARTS:
        cells = {cell.key: cell for cell in whole.cells}
        assert plan == whole.model_copy(update={"cells": tuple(cells[cell.key] for cell in plan.cells)})
    else:
        assert plan == whole
    for cell in plan.cells:
        result = store.read(cell.key)
        assert result is not None, cell.key
        assert not unfinished(cell, store), f"{cell.key}: run {suite} again, and verify it"
        assert result.cell == cell
        if result.status == "declined":
            assert result.error.startswith(f"{cell.evaluator.name} "), cell.key
            continue
        assert result.status == "ok", cell.key
        assert {name for name, score in result.scores.items() if score.error is None} == set(cell.tasks)
        assert len(store.array(result, "values")) == (result.dataset.players or result.dataset.train)


def test_the_suite_quick_is_marked_as_recomputed():
    """After a change of results: dvbench verify results --suite quick --into results."""
    with open_index(Store(ROOT / "results"), "quick") as index:
        marks = suite_scores(index).cells["mark"]
    assert set(marks) <= {"recomputed", "re-run"}


def test_the_workflow_runs_commands_that_exist():
    workflow = yaml.safe_load((ROOT / ".github/workflows/leaderboard.yml").read_text())
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    commands = re.findall(r"dvbench ((?:leaderboard )?[a-z-]+)", " ".join(steps))
    assert set(commands) == {"verify", "leaderboard build"}
    from dvbench.cli import main

    for command in set(commands):
        assert main([*command.split(), "--help"]) == 0


def test_the_workflow_of_tests_runs_what_tox_has_on_every_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    tests = workflow["jobs"]["tests"]["strategy"]["matrix"]["include"]
    supported = [c.rpartition(" ")[2] for c in PYPROJECT["project"]["classifiers"] if "Python :: 3" in c]
    assert [entry["python"] for entry in tests if entry["environment"].startswith("py")] == supported
    environments = [entry["environment"] for entry in tests] + workflow["jobs"]["checks"]["strategy"]["matrix"][
        "environment"
    ]
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    listed = re.split(r",\s*", tox["tox"]["env_list"])
    assert set(environments) == set(listed) - {"browser", "pythons"}
    assert set(supported) <= set(tox["testenv:pythons"]["commands"].split())


def test_actions_have_one_version_in_all_workflows():
    texts = [path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml")]
    uses = {tuple(use.split("@")) for text in texts for use in re.findall(r"uses: (\S+)", text)}
    assert len(uses) == len({action for action, _ in uses})


def test_hooks_before_a_commit_fetch_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repository["repo"] for repository in hooks} == {"local"}
    assert all(hook["entry"].startswith("uv run --no-sync ") for repo in hooks for hook in repo["hooks"])


def test_pythons_that_are_missing_are_named():
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/pythons.py", own, "3.999"], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        f"Pythons found: {own}.",
        "WARNING: NOT TESTED on Python 3.999, because the PATH has no such Python.",
    ]


def test_the_workflow_reads_pull_requests_and_runs_the_main_branch():
    workflow = yaml.safe_load((ROOT / ".github/workflows/leaderboard.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow[True]  # YAML reads "on" as true
    steps = workflow["jobs"]["verify"]["steps"]
    checkouts = {step["with"]["path"]: step["with"] for step in steps if "checkout" in step.get("uses", "")}
    assert "base.sha" in checkouts["base"]["ref"]
    assert not any(each["persist-credentials"] for each in checkouts.values())
    assert all("--project base" in step["run"] for step in steps if "uv run" in step.get("run", ""))


def test_actions_of_others_are_pinned_by_commit():
    """A tag can be moved to other code, which would run with the rights of the workflow."""
    workflows = [yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    steps = [step for workflow in workflows for job in workflow["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert len(used) >= 8
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def raw(*changes: tuple[str, str, str]) -> str:
    """What git says of changes: (mode, status, path) each."""
    return "".join(f":000000 {mode} {'0' * 7} {'1' * 7} {status}\0{path}\0" for mode, status, path in changes)


SUBMITTED = ("100644", "A", "results/submissions/mine.Mine.json")
OWN = ("100644", "A", "results/quick/p/mine.Mine/seed-0/result.json")


def check_changes(text: str) -> str:
    spec = importlib.util.spec_from_file_location("check_changes", ROOT / ".github" / "check_changes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check(text)


def test_a_pull_request_may_add_one_submission():
    own = [
        OWN,
        ("100644", "M", OWN[2].replace("result.json", "values.npy")),
        ("000000", "D", OWN[2].replace("seed-0", "seed-1")),
    ]
    assert check_changes(raw(SUBMITTED, *own)) == SUBMITTED[2]


@pytest.mark.parametrize(
    "change",
    [
        ("100644", "A", "results/submissions/other.json"),
        ("000000", "D", "results/submissions/other.json"),
        ("100644", "M", "results/quick/p/knn_shapley/seed-0/result.json"),
        ("000000", "D", "results/quick/p/knn_shapley/seed-0/result.json"),
        ("100644", "M", "results/quick/plan.json"),
        ("100644", "A", "results/verified/quick/mine.Mine.json"),
        ("100644", "A", "results/verified/p/mine.Mine/seed-0/result.json"),
        ("100644", "A", "results/.index.sqlite"),
        ("100644", "A", "results/quick/p/mine.Mine/seed-0/values.pkl"),
        ("100644", "A", "results/quick/p/mine.Mine/../x/seed-0/result.json"),
        ("120000", "A", "results/quick/p/mine.Mine/seed-1/result.json"),
        ("160000", "A", "results/quick/p/mine.Mine/seed-1/result.json"),
        ("100755", "M", "results/quick/p/mine.Mine/seed-1/result.json"),
        ("100644", "M", "dvbench/registry.py"),
        ("000000", "D", ".github/workflows/leaderboard.yml"),
        ("100644", "A", "results/quick/p/mine.Mine/seed-\u0661/result.json"),
        ("100644", "A", "results/quick/p/mine.Mine/seed-01/result.json"),
        ("100644", "A", "results/quick/p/mine.Mine/seed-0/code.json"),
        ("100644", "A", "results/quick/p/m\u0456ne.Mine/seed-0/result.json"),
        ("100644", "A", "results/quick/p/mine.Mine/seed-0/result.json\n::warning::all is well"),
    ],
)
def test_a_pull_request_may_change_nothing_else(change):
    with pytest.raises(ValueError, match=r"propose other changes|plain file|must add or change one"):
        check_changes(raw(SUBMITTED, OWN, change))


def test_a_pull_request_without_a_submission_is_refused():
    with pytest.raises(ValueError, match="changes 0 files"):
        check_changes(raw(OWN))


def test_renames_are_seen_as_what_they_take_away(tmp_path):
    """Git is asked not to fold a removal and an addition into one name."""
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    user = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    (tmp_path / "code.py").write_text("print(1)\n" * 50)
    run(["git", "init", "-q"])
    run(["git", "add", "."])
    run([*user, "commit", "-qm", "one"])
    target = tmp_path / OWN[2]
    target.parent.mkdir(parents=True)
    (tmp_path / "code.py").rename(target)
    (tmp_path / "results/submissions").mkdir()
    (tmp_path / SUBMITTED[2]).write_text("{}")
    run(["git", "add", "."])
    run([*user, "commit", "-qm", "two"])
    out = run(["git", "diff", "--raw", "-z", "--no-renames", "HEAD~1...HEAD"]).stdout
    with pytest.raises(ValueError, match=r"'code.py' is no file of the submission"):
        check_changes(out)


def test_the_readme_counts_the_evaluators():
    assert re.findall(r"dvbench has (\d+) evaluators", (ROOT / "README.md").read_text()) == [
        str(len(entries("evaluators")))
    ]


@pytest.fixture
def readme_python() -> list[str]:
    """Blocks of Python in README that are not files."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [block for block in blocks if not block.startswith("# ")]


def test_the_readmes_tables_are_valued(readme_python, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [f"{i % 7},{i % 2 + i % 3 / 10},{'high' if i % 2 else 'low'}" for i in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["rooms,size,price_class", *lines]))
    (block,) = [block for block in readme_python if "dvbench.value(" in block]
    exec(block, {})  # our own README
    assert "178 rows; 13 numeric columns" in (shown := capsys.readouterr().out)
    assert shown.count("check the labels of these first, by index: ") == 1
    (call,) = re.findall(r'`(dvbench\.value\("mine\.csv".*?\))`', (ROOT / "README.md").read_text())
    exec(f"import dvbench\nprint({call}.summary())", {})
    assert capsys.readouterr().out.count("check the labels of these first, by line: ") == 1


def test_costs_of_all_published_evaluators_come_with_the_package():
    """After new results: python -c 'from dvbench.execution.costs import *; write_cost_table(Path("results"))'."""
    plans = [Store(ROOT / "results").plan(suite) for suite in Store(ROOT / "results").suites()]
    compared = {(cell.evaluator.kind, cell.evaluator.name) for plan in plans for cell in plan.cells}
    assert compared <= {(row.kind, row.name) for row in published_costs()}
