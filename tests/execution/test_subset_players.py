"""Every evaluator on problems whose players are subsets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell, run_cell
from what_evaluators_take import TEXTS_ONLY

from dvbench.execution.valuation import valuate_cell
from dvbench.problems.build import build_from_settings, build_problem
from dvbench.randomness import integer_seed
from dvbench.registry import entries
from dvbench.results import Cell, Store
from dvbench.settings import Groups
from dvbench.training.build import build_model

METHOD = {"name": "gradient_ascent", "steps": 3, "lr": 0.01}
SMALL = {
    "ame": {"models": 8},
    "beta_shapley": {"permutations": 1},
    "class_wise_shapley": {"permutations": 1},
    "data_banzhaf": {"models": 20},
    "data_oob": {"models": 20},
    "data_shapley": {"permutations": 1},
    "dvrl": {"rl_epochs": 3},
    "influence_subsample": {"models": 20},
    "partial_unlearning_shapley": {"method": METHOD, "utility": "log_loss"},
    "robust_volume_shapley": {"permutations": 1},
    "unlearning_shapley": {"method": METHOD, "utility": "log_loss", "sampling": {"permutations": 2}},
    "warm_start_shapley": {"permutations": 2},
}
WHOLE = {
    "ame", "beta_shapley", "data_banzhaf", "data_shapley", "influence_subsample", "leave_one_out",
    "partial_unlearning_shapley", "unlearning_shapley",
}  # fmt: skip


def grouped(evaluator: str, count: int, **params: object) -> Cell:
    cell = made_up_cell(evaluator, tasks=("noisy_label_detection", "point_removal", "point_addition"), **params)
    return with_problem(cell, groups=Groups(by="random", count=count))


@pytest.mark.parametrize("evaluator", sorted(set(entries("evaluators")) - TEXTS_ONLY))
def test_subsets_of_one_point_have_the_values_of_points(evaluator: str) -> None:
    cell = made_up_cell(evaluator, **SMALL.get(evaluator, {}))
    points = build_problem(cell.problem.dataset, cell.problem.sizes, cell.problem.noise, 0)
    singles = replace(points, groups=np.arange(points.players))
    as_points, as_subsets = (valuate_cell(cell, problem).arrays["values"] for problem in (points, singles))
    np.testing.assert_array_equal(as_subsets, as_points)


@pytest.mark.parametrize("evaluator", sorted(set(entries("evaluators")) - TEXTS_ONLY))
def test_subsets_are_valued_as_wholes_or_by_summing(evaluator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = grouped(evaluator, 6, **SMALL.get(evaluator, {}))
    problem = build_from_settings(cell.problem, 0)
    values = valuate_cell(cell, problem).arrays["values"]
    assert values.shape == (6,)
    points = valuate_cell(cell, replace(problem, groups=None, corrupted=np.zeros(30, dtype=bool))).arrays["values"]
    assert np.allclose(values, problem.summed(points)) == (evaluator not in WHOLE)


def test_a_subset_left_out_takes_all_its_points_along() -> None:
    cell = grouped("leave_one_out", 6)
    problem = build_from_settings(cell.problem, 0)
    actual = valuate_cell(cell, problem).arrays["values"]
    assert problem.groups is not None
    seed = integer_seed("small", "digits", 0, "valuation", "model")
    model = build_model(cell.problem.model, problem.shape, problem.outputs, problem.kind, seed=seed)

    def utility(kept: np.ndarray) -> float:
        # In the order in which the model is given them: one subset after the other.
        points = np.concatenate([np.flatnonzero(problem.groups == group) for group in kept])
        one = model.clone().fit(problem.train.x[points], problem.train.y[points], epochs=1, lr=0.05)
        return problem.metric(problem.validation.y, one.predict(problem.validation.x))

    everybody = np.arange(6)
    expected = [utility(everybody) - utility(np.delete(everybody, i)) for i in everybody]
    assert len(set(actual)) > 1
    np.testing.assert_allclose(actual, expected, atol=1e-7)


@pytest.mark.parametrize("evaluator", ["knn_shapley", "leave_one_out"])
def test_tasks_score_subsets(store: Store, evaluator: str) -> None:
    result = run_cell(grouped(evaluator, 10), store)
    assert result.status == "ok"
    assert result.dataset is not None
    assert (result.dataset.players, result.dataset.train) == (10, 30)
    assert result.arrays["values"].length == 10
    assert {name: score.error for name, score in result.scores.items()} == dict.fromkeys(result.cell.tasks)
    removal = result.scores["point_removal"].curves
    assert len(removal["remove_high"]) == 20


def test_a_strangers_evaluator_may_say_that_it_takes_subsets(store: Store, script) -> None:
    script("mine", "class Mine(Base):\n    takes_subsets = True\n\nclass Other(Base):\n    pass\n")
    whole, summed = (run_cell(grouped(f"mine:{name}", 10), store) for name in ("Mine", "Other"))
    np.testing.assert_array_equal(store.array(whole, "values"), np.arange(10))
    problem = build_problem("digits", whole.cell.problem.sizes, whole.cell.problem.noise, 0, whole.cell.problem.groups)
    np.testing.assert_array_equal(store.array(summed, "values"), problem.summed(np.arange(30.0)))
