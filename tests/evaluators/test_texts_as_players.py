"""Evaluators on texts: against values worked out from the models themselves, and what is refused."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest
from games import shapley_by_definition
from text_problems import HOW, TINY, a_text_problem
from what_evaluators_take import NO_TEXTS

from dvbench.errors import UserError
from dvbench.execution.valuation import valuate_cell
from dvbench.problems.perplexity import mean_log_loss, negative_perplexity
from dvbench.problems.problem import Problem, Split
from dvbench.randomness import random_state
from dvbench.registry import entries
from dvbench.results import Cell, CellKey
from dvbench.settings import EvaluatorSettings, Noise, ProblemSettings, Sizes
from dvbench.training.build import build_model
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from evaluators import DataShapley, LeaveOneOut, PartialUnlearningShapley, UnlearningShapley

FIT = {"epochs": HOW.epochs, "batch_size": HOW.batch_size, "lr": HOW.lr}
UNLEARN = {"steps": 3, "batch_size": 4, "lr": 5e-3}
METHOD = {"name": "gradient_ascent", **UNLEARN}
SEED = 5


@pytest.fixture(scope="module")
def problem() -> Problem:
    return a_text_problem(players=3, each=4, test=6)


@pytest.fixture
def model(problem):
    return build_model(TINY, problem.shape, problem.outputs, "language", seed=3)


def perf(model, split: Split, utility: str) -> float:
    said = model.predict(split.x)
    return negative_perplexity(split.y, said) if utility == "metric" else -mean_log_loss(split.y, said)


def parts(problem):
    return problem.train.x, problem.train.y, problem.validation.x, problem.validation.y


def unlearned(problem, full, coalition, seed, parameters="all"):
    """The model that has unlearned these players."""
    points = problem.points_of(np.array(coalition, dtype=int))
    engine = LanguageModelUnlearner(full, *parts(problem), GradientAscent(**UNLEARN, parameters=parameters))
    return dict(engine.models_without([points], seed))[0]


def drawn_seed(state=SEED):
    """The seed of minibatches that an evaluator with this state draws first."""
    return int(random_state(state).randint(2**31))


@pytest.mark.parametrize("parameters", ["all", "head", "lora"])
@pytest.mark.parametrize("utility", ["metric", "log_loss"])
def test_unlearning_shapley_is_exact_for_few_corpora(utility, parameters, problem, model):
    evaluator = UnlearningShapley({**METHOD, "parameters": parameters}, utility, {"draws": 1}, random_state=SEED)
    evaluator.train(problem.subset_fetcher(), model, problem.metric, **FIT)
    full = model.clone().fit(problem.train.x, problem.train.y, **FIT)
    seed, before = drawn_seed(), perf(full, problem.validation, utility)

    def lost(coalition):
        return before - perf(unlearned(problem, full, coalition, seed, parameters), problem.validation, utility)

    np.testing.assert_allclose(evaluator.data_values, shapley_by_definition(lost, 3), rtol=1e-4, atol=1e-6)
    assert np.abs(evaluator.data_values).max() > 1e-3
    actual = evaluator.diagnostics_
    assert (actual["permutations"], actual["draws"], actual["unlearned"]) == (0, 1, 8)
    assert actual["utility_full"] == pytest.approx(before)
    assert actual["metric_full"] == pytest.approx(perf(full, problem.validation, "metric"))
    assert actual["utility_unlearned"] == pytest.approx(before - lost([0, 1, 2]), rel=1e-5)
    assert np.isinf(evaluator.standard_errors_).all()  # of one draw of the minibatches nothing is known


@pytest.mark.parametrize("utility", ["metric", "log_loss"])
def test_partial_values_are_those_of_three_models(utility, problem, model):
    evaluator = PartialUnlearningShapley(METHOD, utility, random_state=SEED)
    evaluator.train(problem.subset_fetcher(), model, problem.metric, **FIT)
    full, seed = model.clone().fit(problem.train.x, problem.train.y, **FIT), drawn_seed()
    at_full, untrained = (perf(each, problem.validation, utility) for each in (full, model))
    expected = []
    for player in range(3):
        rows = problem.points_of(np.array([player]))
        alone = model.clone().fit(problem.train.x[rows], problem.train.y[rows], **FIT)
        lost = at_full - perf(unlearned(problem, full, [player], seed), problem.validation, utility)
        without = at_full - perf(alone, problem.validation, utility)
        expected.append((lost + (at_full - untrained) - without) / 2)
    np.testing.assert_allclose(evaluator.data_values, expected, rtol=1e-4, atol=1e-6)
    assert evaluator.diagnostics_["unlearned"] == 3


def retrained(problem, model, coalition):
    rows = problem.points_of(np.array(coalition, dtype=int))
    return perf(model.clone().fit(problem.train.x[rows], problem.train.y[rows], **FIT), problem.validation, "metric")


def test_data_shapley_of_few_corpora_is_that_of_retrained_models(problem, model):
    evaluator = DataShapley(permutations=3, random_state=0)
    evaluator.train(problem.subset_fetcher(), model, problem.metric, **FIT)
    expected = shapley_by_definition(lambda coalition: retrained(problem, model, sorted(coalition)), 3)
    np.testing.assert_allclose(evaluator.data_values, expected, rtol=1e-4)


def test_leaving_one_corpus_out_is_the_perplexity_without_it(problem, model):
    """OpenDataVal takes the others in an order that it draws, and trains on their texts in that order."""
    evaluator = LeaveOneOut(random_state=0).train(problem.subset_fetcher(), model, problem.metric, **FIT)
    order, everything = random_state(0).permutation(3), retrained(problem, model, [0, 1, 2])
    for player in range(3):
        others = [problem.points_of(np.array([other])) for other in order if other != player]
        rows = np.concatenate(others)
        without = model.clone().fit(problem.train.x[rows], problem.train.y[rows], **FIT)
        lost = everything - perf(without, problem.validation, "metric")
        assert evaluator.data_values[player] == pytest.approx(lost, rel=1e-4)


def test_truncated_permutations_stop_where_nothing_is_left_to_forget(problem, model):
    evaluator = UnlearningShapley(METHOD, sampling={"permutations": 2, "truncation": 1e9}, random_state=SEED)
    with pytest.raises(UserError, match="every permutation would be truncated at its start"):
        evaluator.train(problem.subset_fetcher(), model, problem.metric, **FIT)
    evaluator = UnlearningShapley(METHOD, sampling={"permutations": 2, "truncation": 0.0}, random_state=SEED)
    assert np.isfinite(evaluator.train(problem.subset_fetcher(), model, problem.metric, **FIT).data_values).all()


def test_an_unknown_standard_error_is_not_saved(problem):
    """Three permutations pay for one enumeration, and seven for two."""
    for permutations, saved in ((3, False), (7, True)):
        params = {"sampling": {"permutations": permutations}, "method": METHOD, "utility": "log_loss"}
        settings = EvaluatorSettings(name="unlearning_shapley", params=params)
        output = valuate_cell(cell("unlearning_shapley").model_copy(update={"evaluator": settings}), problem)
        assert output.diagnostics["permutations"] == 0
        assert ("standard_errors" in output.arrays) == saved
        assert not saved or (output.arrays["standard_errors"] > 0).all()


def cell(name: str) -> Cell:
    takes = inspect.signature(entries("evaluators")[name].load()).parameters
    budget = {"permutations": 1} if "permutations" in takes else {"models": 8} if "models" in takes else {}
    if "sampling" in takes:
        budget = {"sampling": {"permutations": 1}}
    method = {"method": METHOD} if "method" in takes else {}
    return Cell(
        key=CellKey(suite="small", problem="made", evaluator=name, seed=0),
        suite_version=1,
        problem=ProblemSettings(
            dataset="made",
            sizes=Sizes(train=9, validation=6, test=6),
            noise=Noise(),
            model=TINY,
            training=HOW,
        ),
        evaluator=EvaluatorSettings(name=name, params={**budget, **method}),
        tasks=("group_lds",),
    )


# The texts of these problems are no words, which embedding_similarity decodes; it has tests of its own.
@pytest.mark.parametrize("name", sorted(set(entries("evaluators")) - NO_TEXTS - {"embedding_similarity"}))
def test_these_value_texts_and_repeat_to_the_bit(name, problem):
    first, again = (valuate_cell(cell(name), problem).arrays["values"] for _ in range(2))
    assert first.shape == (3,)
    assert np.ptp(first) > 0
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("name", sorted(NO_TEXTS))
def test_these_read_features_and_say_that_they_cannot_value_texts(name, groups):
    """Distances and volumes of token numbers would be numbers, and mean nothing."""
    with pytest.raises(UserError, match=r"cannot value texts; choose another evaluator$|, and texts have none"):
        valuate_cell(cell(name), a_text_problem(players=3, each=3, groups=groups))


def test_texts_of_which_nothing_counts_are_nobodys_performance(problem, model):
    nothing = replace(problem, validation=Split(problem.validation.x, problem.validation.y + 100))
    with pytest.raises(ValueError, match="the loss includes no token of these texts"):
        LeaveOneOut(random_state=0).train(nothing.subset_fetcher(), model, nothing.metric, **FIT)
