"""From a suite and what the user asked of it to cells, and what is found before anything runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dvbench.errors import UserError
from dvbench.execution.planning import make_plan, merged, narrow
from dvbench.execution.suite_checks import check_suite
from dvbench.results import Plan
from dvbench.suite import Suite

SIZES = {"train": 20, "validation": 20, "test": 20}


def a_suite(**changes: object) -> Suite:
    problems = [
        {
            "dataset": "digits",
            "sizes": SIZES,
            "noise": {"kind": "labels", "rate": 0.2},
            "model": "logistic_regression",
            "tasks": ["noisy_label_detection", "point_removal"],
        },
        {"dataset": "wine", "sizes": SIZES, "model": "mlp", "tasks": ["point_removal"]},
    ]
    evaluators = [
        {"name": "random"},
        {"name": "knn_shapley", "params": {"k_neighbors": 3}},
        {"name": "knn_shapley", "label": "knn-5", "params": {"k_neighbors": 5}},
    ]
    fields = {
        "name": "s", "version": 1, "description": "S.", "seeds": [0, 1], "problems": problems, "evaluators": evaluators,
    }  # fmt: skip
    return Suite.model_validate(fields | changes)


def with_problem(**changes: object) -> Suite:
    """A suite of one problem, the first of `a_suite`, changed."""
    first = a_suite().problems[0].model_dump()
    return a_suite(problems=[first | changes])


def titles(suite: Suite) -> tuple[list[str], list[str]]:
    return [problem.title for problem in suite.problems], [evaluator.title for evaluator in suite.evaluators]


def refusal(of, *arguments: object) -> str:
    with pytest.raises(UserError) as error:
        of(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_asking_for_nothing_changes_nothing() -> None:
    assert narrow(a_suite()) == a_suite()


def test_one_evaluator_by_name_has_all_its_settings() -> None:
    assert titles(narrow(a_suite(), evaluators=["KNNShapley"]))[1] == ["knn_shapley", "knn-5"]


def test_one_evaluator_by_label() -> None:
    suite = narrow(a_suite(), evaluators=["knn-5"])
    assert [evaluator.params for evaluator in suite.evaluators] == [{"k_neighbors": 5}]


def test_an_evaluator_asked_for_twice_is_there_once() -> None:
    assert titles(narrow(a_suite(), evaluators=["random", "Random", "random"]))[1] == ["random"]


def test_another_evaluator_comes_with_default_settings() -> None:
    suite = narrow(a_suite(), evaluators=["lava", "my_module:Mine"])
    assert titles(suite)[1] == ["lava", "my_module.Mine"]
    assert [evaluator.params for evaluator in suite.evaluators] == [{}, {}]


def test_one_dataset() -> None:
    assert titles(narrow(a_suite(), datasets=["Wine"]))[0] == ["wine-mlp-clean"]


def test_another_dataset_takes_the_place_of_the_first() -> None:
    suite = narrow(a_suite(), datasets=["breast_cancer"])
    assert titles(suite)[0] == ["breast_cancer-logistic_regression-labels0.2"]
    assert suite.problems[0].tasks == ("noisy_label_detection", "point_removal")


def test_a_table_of_ones_own() -> None:
    suite = narrow(a_suite(), datasets=["csv:some/where/my table.csv?label=y"])
    (title,) = titles(suite)[0]
    assert re.fullmatch(r"csv-my_table-[0-9a-f]{6}-logistic_regression-labels0\.2", title)


def test_one_task_drops_the_problems_without_it() -> None:
    suite = narrow(a_suite(), tasks=["NoisyLabelDetection"])
    assert [problem.tasks for problem in suite.problems] == [("noisy_label_detection",)]


def test_other_seeds() -> None:
    assert narrow(a_suite(), seeds=[5, 3]).seeds == (5, 3)


def test_the_order_of_a_plan_is_problem_seed_evaluator() -> None:
    plan = make_plan(narrow(a_suite(), evaluators=["random", "lava"], datasets=["wine"], seeds=[0, 1]))
    assert [(cell.key.seed, cell.key.evaluator) for cell in plan.cells] == [
        (0, "random"), (0, "lava"), (1, "random"), (1, "lava"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evaluators": ["randm"]}, "no evaluator is named 'randm': did you mean 'random'?"),
        ({"datasets": ["digit"]}, "no data set is named 'digit': did you mean 'digits'?"),
        ({"tasks": ["point_removl"]}, "no task is named 'point_removl': did you mean 'point_removal'?"),
        (
            {"tasks": ["rank_stability"]},
            "suite 's' has no rank_stability on the data sets chosen",
        ),
    ],
)
def test_what_does_not_exist(arguments: dict[str, list[str]], message: str) -> None:
    assert refusal(lambda: narrow(a_suite(), **arguments)).startswith(message)


# check


def test_a_right_suite_passes() -> None:
    check_suite(a_suite())


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (
            a_suite(evaluators=[{"name": "knn_shapley", "params": {"k": 3}}]),
            "no parameter of knn_shapley is named 'k': choose one of k_neighbors, random_state.",
        ),
        (
            a_suite(evaluators=[{"name": "no_such:Mine"}]),
            "cannot load evaluator 'no_such:Mine': ModuleNotFoundError: No module named 'no_such'",
        ),
        (
            with_problem(model={"name": "mlp", "params": {"hiden": [3]}}),
            "no parameter of mlp is named 'hiden': did you mean 'hidden'?",
        ),
        (with_problem(model="mpl"), "no model is named 'mpl': did you mean 'mlp'?"),
        (
            with_problem(noise={"kind": "none"}),
            "suite 's': noisy_label_detection needs labels noise, and digits-logistic_regression-clean has none",
        ),
        (
            with_problem(dataset="diabetes"),
            "diabetes is a regression data set and has no labels to flip; use noise of kind 'features', as with --task "
            "noisy_feature_detection",
        ),
        (with_problem(dataset="csv:no.csv"), "no.csv does not exist: check the path"),
    ],
    ids=["parameter", "module", "model parameter", "model", "noise", "regression", "table"],
)
def test_what_cannot_work_is_found_first(suite: Suite, message: str) -> None:
    assert refusal(check_suite, suite) == message or refusal(check_suite, suite).startswith(f"{message} ")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("", "Mine"),
        ("Mine = 3\n", "Mine"),
        ("def (:\n", "Mine"),
        ("class Mine: pass\n", ""),
        ("class Min: pass\n", "Mine"),
    ],
    ids=["nothing", "number", "syntax", "no name", "typo"],
)
def test_a_module_without_the_evaluator_is_found_first(
    code: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loose_unchecked.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert f"loose_unchecked:{name}" in refusal(check_suite, a_suite(evaluators=[{"name": f"loose_unchecked:{name}"}]))


MODELS = """
from torch import nn

class TwoInputs(nn.Linear):
    def forward(self, a, b):
        return super().forward(a + b)

def two_inputs(shape, outputs):
    return TwoInputs(*shape, outputs)

def fixed_outputs(shape, outputs):
    return nn.Linear(*shape, 7)
"""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("loose_models:two_inputs", "its network fails on two points: .*argument: 'b'; it must map points of shape"),
        (
            "loose_models:fixed_outputs",
            r"maps two points to shape \(2, 7\); it must map .* to logits of shape \(n, 10\)",
        ),
        ("cnn", "model 'cnn' needs images"),
        ("gpt2_tiny", "model 'gpt2_tiny' needs texts, but the data are points"),
    ],
)
def test_a_model_that_does_not_fit_is_found_first(
    model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loose_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    assert re.search(message, refusal(check_suite, with_problem(model=model)))


# merged


def plan_of(**asked: list[str]) -> Plan:
    return make_plan(narrow(a_suite(), datasets=["wine"], seeds=[0], **asked))


def test_a_plan_grows_by_what_is_asked_later() -> None:
    before, now = plan_of(evaluators=["random", "knn-5"]), plan_of(evaluators=["lava", "random"])
    assert [cell.key.evaluator for cell in merged(now, before).cells] == ["knn-5", "lava", "random"]


def test_the_later_settings_of_a_cell_count() -> None:
    before = plan_of(evaluators=["random"])
    now = before.model_copy(update={"cells": (before.cells[0].model_copy(update={"tasks": ("point_addition",)}),)})
    assert merged(now, before).cells == now.cells


def test_a_plan_of_another_version_is_forgotten() -> None:
    before = plan_of(evaluators=["random"]).model_copy(update={"suite_version": 2})
    now = plan_of(evaluators=["lava"])
    assert merged(now, before) == now
    assert merged(now, None) == now
