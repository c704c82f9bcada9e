"""The package of plug-ins in docs/guides/add-a-plug-in.md works, installed as its pyproject.toml says."""

from __future__ import annotations

import importlib
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from dvbench.results import Store

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/add-a-plug-in.md").read_text()
BLOCKS = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
PLUGINS = tomllib.loads(BLOCKS["pyproject.toml"])["project"]["entry-points"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package's files on the search path, with the metadata that an installer writes."""
    for name, text in BLOCKS.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "site/my_plugins/__init__.py").touch()
    metadata = tmp_path / "site/my_plugins-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugins\nVersion: 0.1\n")
    sections = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in PLUGINS.items()
    )
    (metadata / "entry_points.txt").write_text("\n".join(sections))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for module in [module for module in sys.modules if module.startswith("my_plugins")]:
        del sys.modules[module]


def test_every_kind_of_plugin_is_shown():
    libraries = {group for group in GROUPS if group.startswith("dvbench.libraries.")}  # those of dvbench alone
    assert set(PLUGINS) == set(GROUPS) - libraries
    shown = {
        target.partition(":")[0].replace(".", "/") + ".py" for points in PLUGINS.values() for target in points.values()
    }
    assert shown - {"my_plugins.py"} == {name for name in BLOCKS if name.endswith(".py")}


def test_the_suite_of_the_plugins_runs(installed):
    from dvbench.cli import main

    assert main(["run", "growers", "--jobs", "0"]) == 0
    results = {result.cell.key.evaluator: result for result in Store(installed / "runs").results("growers")}
    assert set(results) == {"near_mean", "unlearning_shapley"}
    for result in results.values():
        assert set(result.scores) == {"noisy_label_detection", "half_gap"}
        assert all(score.error is None for score in result.scores.values())
    assert results["near_mean"].scores["noisy_label_detection"].value > 0.7
    assert results["near_mean"].scores["half_gap"].value > 0


def test_the_suite_of_the_strategy_runs(installed):
    from dvbench.cli import main

    assert main(["run", "few_wines", "--jobs", "0"]) == 0
    results = {result.cell.key.evaluator: result for result in Store(installed / "runs").results("few_wines")}
    assert set(results) == {"large_gradients", "random"}
    assert all(result.scores["selection_accuracy"].value > 0.4 for result in results.values())


def test_plugins_of_the_package_are_listed(installed, capsys):
    from dvbench.cli import main

    for group in PLUGINS:
        kind = group.removeprefix("dvbench.")
        assert main(["list", kind, "--json"]) == 0
        listed = {entry["name"] for entry in json.loads(capsys.readouterr().out)}
        assert (set(PLUGINS[group]) if kind != "suites" else {"growers", "few_wines"}) <= listed


def test_a_file_in_the_current_folder_needs_no_package(installed, monkeypatch):
    from dvbench.cli import main

    monkeypatch.chdir(installed / "site/my_plugins")
    words = "run quick --evaluator near_mean:NearMean --dataset two_growers:two_growers --task noisy_label_detection"
    assert main([*words.split(), "--seeds", "0", "--jobs", "0"]) == 0
    assert all(result.status == "ok" for result in Store(Path("runs")).results("quick"))
