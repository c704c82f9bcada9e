"""What is done is not done again; what changed is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell, run_cell

from dvbench.errors import UserError
from dvbench.execution.failures import failed_result, record_failed_valuation
from dvbench.execution.resume import FIRST_VERSION, evaluator_version, unfinished
from dvbench.registry import entries, find
from dvbench.results import Cell, Store
from dvbench.settings import EvaluatorSettings
from dvbench.version import __version__

COUNTED = "class Counted(Base): pass\n"
NAME = "loose_counted:Counted"


@pytest.fixture
def valuations(script, trace: Path):
    """How often the counted evaluator has valued."""
    script("loose_counted", COUNTED)
    return lambda: len(trace.read_text().splitlines())


def test_a_done_cell_is_not_valued_again(valuations, store: Store) -> None:
    cell = made_up_cell(NAME)
    assert unfinished(cell, store)
    first = run_cell(cell, store)
    assert not unfinished(cell, store)
    assert run_cell(cell, store) == first
    assert valuations() == 1


def test_a_new_task_only_scores(valuations, store: Store) -> None:
    first = run_cell(made_up_cell(NAME), store)
    wider = made_up_cell(NAME, tasks=("noisy_label_detection", "noisy_feature_detection"))
    assert unfinished(wider, store)
    result = run_cell(wider, store)
    assert valuations() == 1
    assert set(result.scores) == {"noisy_label_detection", "noisy_feature_detection"}
    assert result.scores["noisy_label_detection"] == first.scores["noisy_label_detection"]
    assert (result.cost, result.arrays, result.cell) == (first.cost, first.arrays, wider)
    assert not unfinished(wider, store)


def test_fewer_tasks_keep_the_other_scores(valuations, store: Store) -> None:
    both = ("noisy_label_detection", "noisy_feature_detection")
    run_cell(made_up_cell(NAME, tasks=both), store)
    result = run_cell(made_up_cell(NAME), store)
    assert set(result.scores) == set(both)


def test_a_task_that_repeats_values_once_more(valuations, store: Store) -> None:
    run_cell(made_up_cell(NAME), store)
    both = made_up_cell(NAME, tasks=("noisy_label_detection", "rank_stability"))
    result = run_cell(both, store)
    assert valuations() == 2
    assert set(result.arrays) == {"values", "repeat"}
    assert result.scores["rank_stability"].value == 1  # it is deterministic
    run_cell(both, store)
    assert valuations() == 2


@pytest.mark.parametrize(
    "update",
    [
        {"evaluator": made_up_cell(NAME, k=2).evaluator},
        {"problem": with_problem(made_up_cell(), sizes={"train": 31, "validation": 20, "test": 40}).problem},
        {"problem": with_problem(made_up_cell(), noise={"kind": "labels", "rate": 0.3}).problem},
        {"problem": with_problem(made_up_cell(), training={"epochs": 2, "lr": 0.05}).problem},
        {"problem": with_problem(made_up_cell(), model={"name": "mlp"}).problem},
        {"suite_version": 2},
    ],
    ids=lambda update: next(iter(update)),
)
def test_a_changed_setting_values_again(valuations, store: Store, update: dict[str, object]) -> None:
    cell = made_up_cell(NAME)
    run_cell(cell, store)
    changed = Cell.model_validate({**cell.model_dump(), **{key: _dumped(value) for key, value in update.items()}})
    assert unfinished(changed, store)
    assert run_cell(changed, store).cell == changed
    assert valuations() == 2


def _dumped(value: object) -> object:
    return value.model_dump() if hasattr(value, "model_dump") else value


def test_a_changed_script_values_again(valuations, script, store: Store) -> None:
    cell = made_up_cell(NAME)
    first = run_cell(cell, store)
    assert first.evaluator_version.startswith("sha256:")
    script("loose_counted", "class Counted(Base):\n    def answer(self, n): return np.arange(n) * 2.0\n")
    assert unfinished(cell, store)
    second = run_cell(cell, store)
    assert valuations() == 2
    assert first.evaluator_version != second.evaluator_version
    np.testing.assert_array_equal(store.array(second, "values"), np.arange(30) * 2.0)


def test_versions_of_evaluators() -> None:
    assert evaluator_version(EvaluatorSettings(name="random")) == "0.1.0"
    assert evaluator_version(EvaluatorSettings(name="opendataval.dataval:RandomEvaluator")) == "1.3.0"
    assert evaluator_version(EvaluatorSettings(name="no_such_module:Any")) == "unknown"


@pytest.mark.parametrize("kind", ["evaluators", "unlearning"])
def test_what_dvbench_changed_states_the_version(kind) -> None:
    """It is read from the source and not inherited: a method that builds on another one has its own version."""
    for name, entry in entries(kind).items():
        stated = evaluator_version(EvaluatorSettings(kind=kind, name=name))
        assert stated == getattr(entry.load(), "version", FIRST_VERSION), name
        assert FIRST_VERSION <= stated <= __version__, f"{name}: a later version than dvbench's own"


def test_a_changed_table_values_again(valuations, store: Store, tmp_path: Path) -> None:
    def write(seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(90, 2))
        (tmp_path / "t.csv").write_text("\n".join(["x,z,y", *(f"{a},{b},{'ab'[int(a > 0)]}" for a, b in x)]))

    write(0)
    cell = with_problem(made_up_cell(NAME), dataset=f"csv:{tmp_path / 't.csv'}")
    first = run_cell(cell, store)
    write(1)
    assert unfinished(cell, store)
    second = run_cell(cell, store)
    assert first.dataset is not None
    assert second.dataset is not None
    assert first.dataset.revision != second.dataset.revision
    assert valuations() == 2


def test_a_failed_cell_is_tried_again(script, store: Store, trace: Path) -> None:
    script(
        "loose_mended",
        "class Mended(Base):\n    def answer(self, n): return None if PARTLY else np.arange(n)\nPARTLY = 1\n",
    )
    cell = made_up_cell("loose_mended:Mended")
    assert run_cell(cell, store).status == "failed"
    assert unfinished(cell, store)
    find("evaluators", "loose_mended:Mended").load().answer.__globals__["PARTLY"] = 0
    assert run_cell(cell, store).status == "ok"
    assert not unfinished(cell, store)


def test_a_failed_task_is_tried_again_and_a_task_of_an_old_version_too(valuations, store: Store) -> None:
    cell = made_up_cell(NAME)
    done = run_cell(cell, store)
    (score,) = done.scores.values()
    for update in ({"error": "boom", "metrics": {}, "curves": {}, "axes": {}}, {"version": score.version + 1}):
        store.write(done.model_copy(update={"scores": {"noisy_label_detection": score.model_copy(update=update)}}))
        assert unfinished(cell, store)
        assert run_cell(cell, store) == done
    assert valuations() == 1


def test_a_crash_before_valuation_is_a_failure(store: Store) -> None:
    cell = made_up_cell()
    result = record_failed_valuation(cell, store, "the worker died")
    assert (result.status, result.error) == ("failed", "the worker died")
    assert store.read(cell.key) == result


def test_a_crash_during_scoring_keeps_values_and_scores(valuations, store: Store) -> None:
    first = run_cell(made_up_cell(NAME), store)
    wider = made_up_cell(NAME, tasks=("noisy_label_detection", "noisy_feature_detection"))
    result = record_failed_valuation(wider, store, "the worker died")
    assert (result.status, result.arrays) == ("ok", first.arrays)
    assert result.scores["noisy_label_detection"] == first.scores["noisy_label_detection"]
    assert result.scores["noisy_feature_detection"].error == "the worker died"
    assert unfinished(wider, store)
    assert run_cell(wider, store).scores["noisy_feature_detection"].value is not None
    assert valuations() == 1


def test_a_crash_after_a_change_does_not_keep_old_values(valuations, store: Store) -> None:
    run_cell(made_up_cell(NAME), store)
    changed = made_up_cell(NAME, k=2)
    assert record_failed_valuation(changed, store, "the worker died").status == "failed"


def test_a_failure_names_its_cell_and_evaluator() -> None:
    result = failed_result(made_up_cell("random"), "boom", "cpu")
    assert (result.error, result.evaluator_object) == ("boom", "evaluators.baselines.random:Random")


def test_a_foreign_file_stops_before_anything_is_done(store: Store) -> None:
    cell = made_up_cell()
    path = store.folder(cell.key) / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UserError, match="is not a result"):
        unfinished(cell, store)
    assert path.read_text() == "mine"
