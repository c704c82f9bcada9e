"""An evaluator that ``verify`` runs again is given arrays in a process of its own, and cannot reach the problem."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dvbench.execution.isolation import value_isolated
from dvbench.execution.limits import Limits, exceeded
from dvbench.execution.run import run_cells
from dvbench.problems.build import build_from_settings
from dvbench.results import Cell, Store
from dvbench.settings import EvaluatorSettings
from dvbench.submission.checks import planned_cells
from dvbench.suite import load_suite

# Takes the mask of noise from wherever it can be found in its process, as from the frame of its caller.
THIEF = """
import gc, json, os, pathlib, sys
import numpy as np
from opendataval.dataval import DataEvaluator

HERE = pathlib.Path(__file__).parent

def masks():
    frame = sys._getframe()
    while frame:
        yield from frame.f_locals.values()
        frame = frame.f_back
    yield from gc.get_objects()

class Thief(DataEvaluator):
    def __init__(self, random_state=None):
        super().__init__(random_state=random_state)
    def train_data_values(self, *args, **kwargs):
        return self
    def evaluate_data_values(self):
        for one in masks():
            mask = getattr(one, "corrupted", None) if type(one).__name__ == "Problem" else None
            if mask is not None and len(mask) == len(self.x_train):
                return -mask.astype(float)
        return self.random_state.normal(size=len(self.x_train))

class Witness(Thief):
    def evaluate_data_values(self):
        held = [one for one in gc.get_objects() if str(type(one).__module__).startswith("dvbench.")]
        # Not those of modules and of the registry, whose entries name all data sets.
        texts = {text for one in gc.get_objects() if type(one) is dict and "__name__" not in one
                 and not {"kind", "name", "target"} <= set(one)
                 for text in one.values() if type(text) is str and len(text) < 200}
        said = {
            "types": sorted({type(one).__name__ for one in held}),
            "texts": sorted(texts & {"quick", "digits", "digits-logistic_regression-labels0.2", "hidden"}),
            "arguments": sys.argv[1:],
            "test set": any(type(one) is np.ndarray and one.shape[:1] == (500,) for one in gc.get_objects()),
        }
        (HERE / "witness.json").write_text(json.dumps(said))
        return np.arange(len(self.x_train), dtype=float)

class Dies(Thief):
    def evaluate_data_values(self): os._exit(3)

class Hangs(Thief):
    def evaluate_data_values(self):
        while True: pass

class Overwrites(Thief):
    def evaluate_data_values(self):
        for folder in HERE.glob("dvbench-*"):
            target = folder / "hidden/hidden/loose_thief.Overwrites/seed-0"
            target.mkdir(parents=True)
            os.mkfifo(target / "result.json")
            (HERE / "left").touch()
        os._exit(0)

class Twice(Thief):
    count = 0
    def evaluate_data_values(self):
        Twice.count += 1
        return np.full(len(self.x_train), Twice.count) + np.arange(len(self.x_train))
"""


@pytest.fixture
def thieves(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "loose_thief.py").write_text(THIEF)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setattr("tempfile.tempdir", str(here))
    monkeypatch.delitem(sys.modules, "loose_thief", raising=False)


def cell_of(name: str, dataset: str = "digits") -> Cell:
    cells = planned_cells("quick", EvaluatorSettings(name=name)).cells
    return next(cell for cell in cells if cell.problem.dataset.name == dataset and "labels" in cell.key.problem)


@pytest.mark.usefixtures("thieves")
def test_a_noise_mask_is_out_of_reach(here: Path) -> None:
    """In the process that builds the problem it is not, so a re-run there would confirm the theft."""
    cell = cell_of("loose_thief:Thief")
    mask = build_from_settings(cell.problem, cell.key.seed).corrupted
    within = Store(here / "within")
    (result,) = run_cells([cell], within, "cpu", 0)
    np.testing.assert_array_equal(within.array(result, "values"), -mask.astype(float))
    apart = Store(here / "apart")
    (result,) = value_isolated([cell], apart, "cpu", 0)
    assert result.error is None
    values = apart.array(result, "values")
    assert len(np.unique(values)) == len(values)


@pytest.mark.usefixtures("thieves")
def test_what_the_process_of_an_evaluator_holds(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dvbench", "verify", "bundle.zip", "--secret", "secret.txt"])
    (result,) = value_isolated([cell_of("loose_thief:Witness")], Store(here / "apart"), "cpu", 1)
    assert result.error is None
    said = json.loads((here / "witness.json").read_text())
    assert "loose_thief" not in sys.modules
    assert "EvaluatorData" in said["types"]
    assert not {"Problem", "Source", "Split", "SuiteProblem", "Bundle"} & set(said["types"])
    assert said["texts"] == ["hidden"]
    assert not said["test set"]
    assert said["arguments"] == []


@pytest.mark.parametrize(
    "problem", ["digits-logistic_regression-labels0.2", "digits-logistic_regression-labels0.2-10subsets"]
)
def test_values_are_those_of_a_run_to_the_bit(here: Path, problem: str) -> None:
    (settings,) = (one for one in load_suite("quick").evaluators if one.title == "data_oob")
    cells = planned_cells("quick", settings).cells
    (cell,) = (cell for cell in cells if (cell.key.problem, cell.key.seed) == (problem, 1))
    (expected,) = run_cells([cell], Store(here / "within"), "cpu", 1)
    (actual,) = value_isolated([cell], Store(here / "apart"), "cpu", 1)
    assert (actual.error, expected.error) == (None, None)
    assert actual.arrays == expected.arrays
    assert (actual.dataset, actual.cell, actual.cost.fits) == (expected.dataset, expected.cell, expected.cost.fits)


@pytest.mark.usefixtures("thieves")
def test_a_second_valuation_remembers_nothing_of_the_first(here: Path) -> None:
    store = Store(here / "apart")
    (result,) = value_isolated([cell_of("loose_thief:Twice")], store, "cpu", 1)
    np.testing.assert_array_equal(store.array(result, "values"), store.array(result, "repeat"))


@pytest.mark.usefixtures("thieves")
@pytest.mark.parametrize(
    ("name", "error"), [("Dies", "ended with exit code 3"), ("Overwrites", "ended with exit code 0")]
)
def test_what_a_process_left_behind_is_no_result(here: Path, name: str, error: str) -> None:
    (result,) = value_isolated([cell_of(f"loose_thief:{name}")], Store(here / "apart"), "cpu", 1)
    assert result.status == "failed"
    assert error in str(result.error)
    assert (here / "left").exists() == (name == "Overwrites")


@pytest.mark.slow
@pytest.mark.usefixtures("thieves")
def test_a_valuation_that_hangs_ends(here: Path) -> None:
    limits = Limits(seconds=2)
    (result,) = value_isolated([cell_of("loose_thief:Hangs")], Store(here / "apart"), "cpu", 1, limits=limits)
    assert exceeded(result.error)
