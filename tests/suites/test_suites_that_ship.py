"""Every suite that comes with dvbench names things that exist, and the quick one names all of them."""

from __future__ import annotations

import pytest
from what_evaluators_take import TEXTS_ONLY

from dvbench.execution.planning import make_plan, narrow
from dvbench.execution.suite_checks import check_suite
from dvbench.registry import entries, find, suite_files
from dvbench.selecting.factory import make_strategy
from dvbench.settings import Sizes
from dvbench.suite import Suite, load_suite
from dvbench.unlearning.factory import make_method
from evaluators.common.coalitions import models_needed

JUDGING = {"judges_unlearning", "judges_selection"}
BESIDE_QUICK = ("payout", "sanity", "lds-cpu")  # tasks that would make quick long


def tasks_of(*names: str) -> set[str]:
    return {task for name in names for problem in load_suite(name).problems for task in problem.tasks}


@pytest.fixture(params=suite_files())
def suite(request: pytest.FixtureRequest) -> Suite:
    return load_suite(request.param)


def test_names_of_suites() -> None:
    assert {"quick", "point-level"} <= set(suite_files())


def test_everything_a_suite_names_exists_and_takes_its_parameters(suite: Suite) -> None:
    for evaluator in suite.evaluators:
        find(suite.kind, evaluator.name).check_parameters(evaluator.params)
        if suite.kind == "unlearning":
            make_method(evaluator.name, **evaluator.params)
        if suite.kind == "selection":
            make_strategy(evaluator.name, **evaluator.params)
    for problem in suite.problems:
        find("datasets", problem.dataset.name).check_parameters(problem.dataset.params)
        find("models", problem.model.name).check_parameters(problem.model.params)
        for task in problem.tasks:
            metadata = find("tasks", task).definition.metadata
            assert metadata.get("noise") in (None, problem.noise.kind)
            assert suite.kind == "unlearning" or not metadata.get("judges_unlearning")
            assert (suite.kind == "selection") == bool(metadata.get("judges_selection"))


def test_a_suite_is_written_with_the_names_that_are_listed(suite: Suite) -> None:
    assert {evaluator.name for evaluator in suite.evaluators} <= set(entries(suite.kind))
    assert {problem.dataset.name for problem in suite.problems} <= set(entries("datasets"))
    assert {problem.model.name for problem in suite.problems} <= set(entries("models"))
    assert {task for problem in suite.problems for task in problem.tasks} <= set(entries("tasks"))


def test_a_plan_has_every_cell_once(suite: Suite) -> None:
    plan = make_plan(suite)
    assert len(plan.cells) == len(suite.problems) * len(suite.seeds) * len(suite.evaluators)
    assert len({cell.key.folder for cell in plan.cells}) == len(plan.cells)
    assert (plan.suite, plan.suite_version) == (suite.name, suite.version)


@pytest.mark.parametrize("name", suite_files())
def test_evaluators_have_enough_models_for_every_player(name: str) -> None:
    """An evaluator that draws coalitions fails if a player is in all or in none of them."""
    suite = load_suite(name)
    for evaluator in suite.evaluators:
        for problem in suite.problems if suite.kind == "evaluators" else ():
            points = problem.sizes.train
            players = problem.groups.count if problem.groups is not None and problem.groups.count else points
            needed = {
                "ame": models_needed(players, 0.2 * 0.4 * 0.6 * 0.8),
                "data_banzhaf": models_needed(players, 0.5, 0.5),
                "influence_subsample": models_needed(players, 0.7, 0.3),
                "data_oob": models_needed(points, 1 - (1 - 1 / points) ** points),
            }.get(evaluator.name, 0)
            assert needed <= evaluator.params.get("models", 1000 if evaluator.name != "ame" else 250)


def test_quick_has_everything_that_needs_no_download() -> None:
    quick = load_suite("quick")
    assert {evaluator.name for evaluator in quick.evaluators} == set(entries("evaluators")) - TEXTS_ONLY
    assert {problem.dataset.name for problem in quick.problems} == {"digits", "breast_cancer"}
    assert tasks_of("quick", *BESIDE_QUICK) == {
        name for name, entry in entries("tasks").items() if not JUDGING & entry.definition.metadata.keys()
    }
    assert quick.seeds == (0, 1)
    check_suite(quick)


@pytest.mark.parametrize("name", BESIDE_QUICK)
def test_suites_beside_quick_have_tasks_that_it_has_not(name: str) -> None:
    assert tasks_of(name).isdisjoint(tasks_of("quick"))
    if name != "lds-cpu":  # which needs a download
        check_suite(load_suite(name))


def test_the_cut_of_unlearning_has_every_method_and_every_task_that_judges_them() -> None:
    suite = load_suite("unlearning-cpu")
    assert suite.kind == "unlearning"
    assert {method.name for method in suite.evaluators} == set(entries("unlearning"))
    assert "digits" in {problem.dataset.name for problem in suite.problems}  # which is there without a download
    assert tasks_of("unlearning-cpu", "unlearning-error") == {
        name for name, entry in entries("tasks").items() if entry.definition.metadata.get("judges_unlearning")
    }
    check_suite(narrow(suite, datasets=["digits"]))


@pytest.mark.parametrize("name", ["unlearning-cpu", "unlearning"])
def test_each_method_has_its_own_rate_and_the_common_ones(name: str) -> None:
    """Plain names: the tuned default, and of gradient ascent, whose default is its paper's, the tuned rate."""
    methods = load_suite(name).evaluators
    for method in entries("unlearning"):
        rates = {each.title: each.params.get("lr") for each in methods if each.name == method}
        own = rates.pop(method)
        assert (own is None) == (method != "gradient_ascent")
        assert rates == {f"{method}-common-2e-5": 2e-5, f"{method}-common-2e-4": 2e-4}


@pytest.mark.parametrize("name", [name for name in suite_files() if name.endswith("-unlearning")])
def test_common_rates_are_those_of_their_names(name: str) -> None:
    for method in load_suite(name).evaluators:
        start, common, rate = method.title.partition("-common-")
        assert not common or (method.params["lr"] == float(rate) and start.startswith(method.name))


@pytest.mark.usefixtures("text_mirror")
@pytest.mark.parametrize("name", ["text-tiny", "text-tiny-unlearning"])
def test_suites_of_small_corpora_can_be_run(name: str) -> None:
    suite = load_suite(name)
    few = Sizes(train=60, validation=30, test=50)  # there are not as many made-up questions
    check_suite(
        suite.model_copy(update={"problems": tuple(p.model_copy(update={"sizes": few}) for p in suite.problems)})
    )
    assert {problem.model.name for problem in suite.problems} == {"gpt2_tiny"}
    judging, asked = tasks_of("unlearning-cpu"), tasks_of(name)
    assert asked == judging if suite.kind == "unlearning" else asked.isdisjoint(judging)
    assert {problem.groups.by for problem in suite.problems if problem.groups} == {"corpora"}
