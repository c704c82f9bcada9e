"""A package of somebody else that adds a plug-in of every kind, each of which runs in a cell."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dvbench
from dvbench.cli import main
from dvbench.execution.planning import make_plan
from dvbench.execution.run import run_cells
from dvbench.execution.suite_checks import check_suite
from dvbench.registry import entries, suite_files
from dvbench.results import Store
from dvbench.suite import load_suite

POINTS = """
[dvbench.evaluators]
all = guest_plugins.evaluators
[dvbench.datasets]
all = guest_plugins.datasets
[dvbench.models]
all = guest_plugins.models
[dvbench.tasks]
all = guest_plugins.tasks
[dvbench.unlearning]
all = guest_plugins.unlearning
[dvbench.suites]
all = guest_plugins.suites
"""
FILES = {
    "__init__.py": "",
    "evaluators/__init__.py": "",
    "evaluators/first_feature.py": '''
import numpy as np
from opendataval.dataval import DataEvaluator


class FirstFeature(DataEvaluator):
    """First feature: the value of a point is its first feature."""

    def __init__(self, scale: float = 1.0, random_state=None):
        super().__init__(random_state=random_state)
        self.scale = scale

    def train_data_values(self, *args, **kwargs):
        return self

    def evaluate_data_values(self):
        return self.scale * np.asarray(self.x_train)[:, 0]
''',
    "datasets/__init__.py": "",
    "datasets/two_blobs.py": '''
import numpy as np
from dvbench.problems.source import Source, classification


def two_blobs() -> Source:
    """Two blobs of 40 points each, in two dimensions."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    return classification(rng.normal(size=(80, 2)) + 4 * labels[:, None], labels, ("left", "right"))
''',
    "models/__init__.py": "",
    "models/one_layer.py": '''
import math
from torch import nn


def one_layer(shape, outputs, bias: bool = True):
    """One linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs, bias=bias))
''',
    "tasks/__init__.py": "",
    "tasks/mean_value.py": '''
from dvbench.scoring.contract import Outcome, task


@task(version=3, headline="mean", higher_is_better=True)
def mean_value(problem, valuation, utilities):
    """Mean value: the mean of all values. Headline: the mean."""
    return Outcome({"mean": float(valuation.values.mean())})
''',
    "unlearning/__init__.py": "",
    "unlearning/gentle_ascent.py": '''
from dataclasses import dataclass
from dvbench.unlearning.contract import UnlearningMethod, ascend, descend


@dataclass(frozen=True)
class GentleAscent(UnlearningMethod):
    """Gentle ascent: the loss on the forget set grows by small steps."""

    gentleness: float = 0.5

    def rules(self, step):
        return ascend, descend
''',
    "suites/guest-evaluators.toml": '''
version = 1
description = "Guests: an evaluator."
seeds = [0]

[[problems]]
dataset = "two_blobs"
sizes = { train = 30, validation = 20, test = 20 }
model = { name = "one_layer", params = { bias = false } }
training = { epochs = 1, batch_size = 16, lr = 0.05 }
tasks = ["mean_value"]

[[evaluators]]
name = "first_feature"
params = { scale = 2.0 }
''',
    "suites/guest-methods.toml": '''
version = 1
description = "Guests: an unlearning method."
seeds = [0]

[[problems]]
dataset = "two_blobs"
sizes = { train = 30, validation = 20, test = 20 }
groups = { by = "classes" }
model = "one_layer"
training = { epochs = 1, batch_size = 16, lr = 0.05 }
tasks = ["mean_value"]

[[unlearning]]
name = "gentle_ascent"
params = { gentleness = 0.1, steps = 3 }
''',
}  # fmt: skip


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, installed: its files and its entry points."""
    info = tmp_path / "guest_plugins-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest_plugins\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(POINTS)
    for file, text in FILES.items():
        path = tmp_path / "guest_plugins" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "guest_plugins"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("kind", "name", "parameters"),
    [
        ("evaluators", "first_feature", ["scale: float = 1.0", "random_state = None"]),
        ("datasets", "two_blobs", []),
        ("models", "one_layer", ["shape", "outputs", "bias: bool = True"]),
        ("tasks", "mean_value", ["problem", "valuation", "utilities"]),
    ],
)
@pytest.mark.usefixtures("plugins")
def test_each_plugin_is_found_without_being_imported(kind, name: str, parameters: list[str]) -> None:
    entry = entries(kind)[name]
    assert [str(parameter) for parameter in entry.definition.parameters] == parameters
    assert entry.summary
    assert "guest_plugins" not in sys.modules


@pytest.mark.usefixtures("plugins")
def test_an_unlearning_method_has_the_parameters_of_its_base() -> None:
    names = [parameter.name for parameter in entries("unlearning")["gentle_ascent"].definition.parameters]
    assert names == ["steps", "batch_size", "lr", "weight_decay", "parameters", "gentleness"]


@pytest.mark.usefixtures("plugins")
def test_suites_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"guest-evaluators", "guest-methods", "quick"} <= set(suite_files())
    assert main(["list", "suites", "--json"]) == 0
    assert {"name": "guest-methods", "summary": "Guests: an unlearning method."} in json.loads(capsys.readouterr().out)
    assert main(["describe", "guest-methods", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "suite"


@pytest.mark.parametrize(("suite", "mark"), [("guest-evaluators", "first_feature"), ("guest-methods", "gentle_ascent")])
@pytest.mark.usefixtures("plugins")
def test_a_suite_of_plugins_runs(suite: str, mark: str, tmp_path: Path) -> None:
    chosen = load_suite(suite)
    check_suite(chosen)
    store = Store(tmp_path / "runs")
    (result,) = run_cells(make_plan(chosen).cells, store, "cpu", 0)
    assert (result.error, result.scores["mean_value"].error) == (None, None)
    assert result.cell.key.evaluator == mark
    assert result.evaluator_version == "1.2"
    assert result.scores["mean_value"].version == 3


def test_plugins_run_in_worker_processes(plugins: Path) -> None:
    scores = dvbench.run("guest-evaluators", results=plugins / "runs", jobs=1, progress=False)
    assert scores["status"].tolist() == ["ok"]


@pytest.mark.usefixtures("plugins")
def test_two_suites_with_the_same_name_are_an_error(plugins: Path) -> None:
    from dvbench.errors import UserError

    (plugins / "guest_plugins/suites/quick.toml").write_text("")
    with pytest.raises(UserError, match="two suites are named 'quick'"):
        suite_files()
