"""Suites of small corpora from end to end, on made-up texts: valued, scored, scored again, and the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dvbench.execution.isolation import value_isolated
from dvbench.execution.planning import make_plan, narrow
from dvbench.execution.run import run_cells
from dvbench.execution.suite_checks import check_suite
from dvbench.results import Store
from dvbench.settings import ModelSettings, Sizes, Training
from dvbench.suite import Suite, load_suite

SMALL = {
    "sizes": Sizes(train=10, validation=6, test=6),
    "model": ModelSettings(name="gpt2_tiny", params={"layers": 1, "width": 8}),
    "training": Training(epochs=1, batch_size=5, lr=5e-3),
}
CHOSEN = ["unlearning_shapley", "partial_unlearning_shapley", "exact_shapley", "trac_in"]
METHODS = ["gradient_ascent-head", "plain_ascent", "scrub"]

pytestmark = pytest.mark.usefixtures("text_mirror")


def small(name: str, evaluators: list[str]) -> Suite:
    """A suite with one seed, few texts, a smaller model and fewer steps."""
    suite = narrow(load_suite(name), evaluators)
    steps = {"steps": 4, "batch_size": 2}
    few = [
        one.model_copy(update={"params": {**one.params, "method": {**one.params["method"], **steps}}})
        if "method" in one.params
        else one
        for one in suite.evaluators
    ]
    problems = tuple(problem.model_copy(update=SMALL) for problem in suite.problems)
    return suite.model_copy(update={"seeds": (0,), "problems": problems, "evaluators": tuple(few)})


def run(suite: Suite, store: Store) -> dict:
    check_suite(suite)
    actual = list(run_cells(make_plan(suite).cells, store, "cpu", 0))
    assert {result.status for result in actual} == {"ok"}
    assert [score.error for result in actual for score in result.scores.values() if score.error] == []
    return {(result.cell.key.problem, result.cell.key.evaluator): result for result in actual}


@pytest.fixture(scope="module")
def valued(made_up_mirror: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVBENCH_MIRROR", str(made_up_mirror))
        store = Store(tmp_path_factory.mktemp("valued"))
        return run(small("text-tiny", CHOSEN), store), store


@pytest.mark.slow
def test_everything_is_valued_and_scored(valued):
    results, store = valued
    assert len(results) == 2 * len(CHOSEN)
    for result in results.values():
        assert result.dataset.players == 5
        assert set(result.scores) == {"partial_agreement", "exact_agreement", "group_lds"}
        values = store.array(result, "values")
        assert values.shape == (5,)
        assert len(np.unique(values)) == 5
        agreement = {**result.scores["exact_agreement"].metrics, **result.scores["partial_agreement"].metrics}
        for name in ("p_spearman", "p_exact", "p_without"):  # shares of the 120 orders of five players
            assert agreement[name] * 120 == pytest.approx(round(agreement[name] * 120))
            assert 2 / 120 <= agreement[name] <= 1


def test_values_of_the_two_losses_differ(valued):
    results, store = valued
    titles = sorted({problem for problem, _ in results})
    assert len(titles) == 2
    for evaluator in CHOSEN:
        first, second = (store.array(results[title, evaluator], "values") for title in titles)
        assert not np.array_equal(first, second)


def test_few_corpora_are_enumerated_and_all_are_scored_by_the_same_models(valued):
    results, _ = valued
    for title in {problem for problem, _ in results}:
        assert results[title, "exact_shapley"].cost.fits == 32
        judges = [results[title, evaluator].scores["exact_agreement"].curves["exact"] for evaluator in CHOSEN]
        assert all(curve == judges[0] for curve in judges)
        assert len(set(judges[0])) == 5


def test_values_and_scores_repeat_to_the_bit(valued, tmp_path):
    results, _ = valued
    suite = small("text-tiny", CHOSEN[::3])  # fewer beside each other
    again = run(suite.model_copy(update={"problems": suite.problems[:1]}), Store(tmp_path))
    for key, result in again.items():
        assert result.arrays == results[key].arrays
        assert result.scores == results[key].scores


def test_scored_again_from_what_is_saved(valued):
    results, store = valued
    cells = [result.cell.model_copy(update={"tasks": ("group_lds",)}) for result in results.values()]
    rescored = run_cells(cells, store, "cpu", 0)
    again = {(result.cell.key.problem, result.cell.key.evaluator): result for result in rescored}
    for key, result in again.items():
        assert result.arrays == results[key].arrays
        assert result.scores["group_lds"] == results[key].scores["group_lds"]


@pytest.fixture(scope="module")
def judged(made_up_mirror: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVBENCH_MIRROR", str(made_up_mirror))
        store = Store(tmp_path_factory.mktemp("judged"))
        return run(small("text-tiny-unlearning", METHODS), store), store


@pytest.mark.slow
def test_methods_are_judged(judged):
    results, store = judged
    assert len(results) == len(METHODS)
    for result in results.values():
        assert set(result.scores) == {"output_divergence", "knowledge_retention", "retrained_agreement"}
        assert store.array(result, "values").shape == (5,)
        assert (result.cost.fits, result.cost.unlearned) == (1, 5)
        assert result.diagnostics["tokens_per_second"] > 0
        assert 0 < result.diagnostics["flop_utilisation"] < 1
        assert len(result.scores["knowledge_retention"].curves["train_loss"]) == 2
        grid, *densities = result.scores["output_divergence"].curves.values()
        for density in densities:
            assert sum(density) * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow
def test_judging_repeats_to_the_bit(judged, tmp_path):
    results, _ = judged
    again = run(small("text-tiny-unlearning", METHODS[::2]), Store(tmp_path))
    for key, result in again.items():
        assert result.arrays == results[key].arrays
        assert result.scores == results[key].scores


def test_evaluators_that_read_features_decline_and_say_so(tmp_path):
    suite = small("text-tiny", ["knn_shapley", "trac_in"])
    chosen = suite.model_copy(update={"problems": suite.problems[:1]})
    store = Store(tmp_path)
    results = {result.cell.key.evaluator: result for result in run_cells(make_plan(chosen).cells, store, "cpu", 0)}
    assert results["trac_in"].status == "ok"
    assert results["knn_shapley"].status == "declined"
    assert results["knn_shapley"].error.startswith("knn_shapley ")
    assert "text" in results["knn_shapley"].error
    assert "\n" not in results["knn_shapley"].error


def test_values_of_texts_are_the_same_where_the_problem_is_out_of_reach(valued, tmp_path: Path):
    results, _ = valued
    expected = next(result for (_, evaluator), result in results.items() if evaluator == "trac_in")
    (actual,) = value_isolated([expected.cell], Store(tmp_path), "cpu", 1)
    assert actual.error is None
    assert actual.arrays == expected.arrays
    assert actual.dataset == expected.dataset
