"""Unlearning Shapley: exact games, sign, planted noise, OpenDataVal's own objects."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from games import additive_game, majority_game, many, shapley_by_definition
from opendataval.experiment import ExperimentMediator
from opendataval.metrics import accuracy
from opendataval.model import ClassifierMLP, LogisticRegression
from short_fits import FIT
from sklearn.metrics import roc_auc_score

from dvbench.errors import UserError
from dvbench.problems.subsets import Subsets
from dvbench.randomness import integer_seed, random_state
from dvbench.sampling import Sampling
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.scrub import Scrub
from evaluators import UnlearningShapley

WEAK = {"name": "gradient_ascent", "steps": 5, "lr": 0.01}
ONE = {"permutations": 1}
STRONG = {"name": "gradient_ascent", "steps": 30, "lr": 0.5, "lambda1": 0, "lambda2": 0}
HARD = {"name": "gradient_ascent", "steps": 10, "lr": 0.5, "batch_size": 4}
GENTLE = {"utility": "log_loss", "method": WEAK}


def train(evaluator, fetcher, model, **fit):
    return evaluator.train(fetcher, model, accuracy, **{**FIT, **fit})


def test_additive_oracle_game_is_exact():
    worth = np.linspace(-2, 3, 12)
    evaluator = UnlearningShapley(sampling={"permutations": 3}, random_state=0)
    evaluator.estimate(many(additive_game(worth)), 12)
    np.testing.assert_allclose(evaluator.evaluate_data_values(), worth, atol=1e-12)
    # Three equal samples bound the error by half of their range, -2 to 3, over the root of three.
    np.testing.assert_allclose(evaluator.standard_errors_, 5 / 2 / np.sqrt(3))


def test_majority_oracle_game_is_within_its_standard_errors():
    weights = [5, 4, 3, 3, 2, 1, 1, 1]
    exact = shapley_by_definition(majority_game(weights), 8)
    evaluator = UnlearningShapley(sampling=Sampling(target_standard_error=0.02), random_state=0)
    evaluator.estimate(many(majority_game(weights)), 8)
    assert evaluator.standard_errors_.max() <= 0.02
    assert np.all(np.abs(evaluator.evaluate_data_values() - exact) < 3.5 * evaluator.standard_errors_)


@pytest.mark.parametrize("method", [WEAK, {**WEAK, "name": "negative_preference"}, Scrub(steps=4, lr=0.02)])
def test_few_players_are_enumerated(method, problem, model):
    """With three players the values are the definition's, on utilities computed here, of as many draws as are paid."""
    fetcher = problem.fetcher()
    fetcher.x_train, fetcher.y_train = fetcher.x_train[:3], fetcher.y_train[:3]
    evaluator = train(UnlearningShapley(method, "log_loss", {"permutations": 10}, random_state=1), fetcher, model)
    full = model.clone()
    full.fit(problem.train.x[:3], problem.train.y[:3], **FIT)
    validation = problem.validation
    unlearner = StackedUnlearner(
        full, problem.train.x[:3], problem.train.y[:3], validation.x, validation.y, evaluator.method
    )
    seed = int(random_state(1).randint(2**31))

    def log_loss(logits):
        return -float(torch.nn.functional.cross_entropy(logits.T, validation.y))

    def values(seed):
        def utility(coalition):
            ((_, logits),) = unlearner.outputs_without([np.array(sorted(coalition), dtype=int)], seed)
            return log_loss(unlearner.outputs_full) - log_loss(logits[0])

        return shapley_by_definition(utility, 3)

    draws = np.array([values(seed), values(integer_seed(seed, "draw", 1))])  # 2 * 8 utilities, of at most 2 + 10 * 2
    np.testing.assert_allclose(evaluator.data_values, draws.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(evaluator.standard_errors_, np.abs(np.diff(draws, axis=0)[0]) / 2, atol=1e-6)
    assert (evaluator.standard_errors_ > 0).all()
    assert (evaluator.diagnostics_["permutations"], evaluator.diagnostics_["draws"]) == (0, 2)


def test_a_method_is_a_name_or_a_mapping_or_an_object():
    method = {"name": "scrub", "steps": 7, "lr": 0.5, "parameters": "head"}
    made = Scrub(steps=7, lr=0.5, parameters="head")
    assert UnlearningShapley(method).method == UnlearningShapley(made).method == made
    assert UnlearningShapley("scrub").method == Scrub()
    assert UnlearningShapley().method == GradientAscent()
    assert "name" in method  # what is given is not changed


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("srub", "no unlearning method is named 'srub': did you mean 'scrub'"),
        ({"name": "scrub", "lambda1": 0.5}, "no parameter of scrub is named 'lambda1'"),
        ({"name": "scrub", "step": 5}, "no parameter of scrub is named 'step': did you mean 'steps'"),
        ({"lr": 0.5}, "method is the name of an unlearning method, or a mapping of its name and parameters"),
        (3, "method is the name of an unlearning method, or a mapping of its name and parameters"),
        ({"name": "scrub", "parameters": "body"}, "parameters is 'all', 'head' or 'lora', not 'body'"),
    ],
)
def test_methods_that_do_not_exist(method, message):
    with pytest.raises(UserError, match=message):
        UnlearningShapley(method)


def test_sampling_is_a_mapping_or_an_object():
    assert UnlearningShapley().sampling.stopping.permutations == 10
    assert UnlearningShapley(sampling={"seconds": 5}).sampling.stopping.permutations is None
    assert UnlearningShapley(sampling={"antithetic": True}).sampling == Sampling(antithetic=True)
    with pytest.raises(UserError, match="no parameter of sampling is named 'permutation': did you mean 'permutations'"):
        UnlearningShapley(sampling={"permutation": 5})


@pytest.mark.parametrize("players", ["points", "subsets"])
def test_a_utility_is_a_function_of_the_set(players, problem, model):
    """At a rate at which other minibatches change it much."""
    x, y, validation = problem.train.x, problem.train.y, problem.validation
    fetcher = problem.fetcher()
    evaluator = train(UnlearningShapley(HARD, "log_loss", ONE, random_state=0), fetcher, model)
    full = model.clone()
    full.fit(x, y, **FIT)
    engine = StackedUnlearner(full, x, y, validation.x, validation.y, evaluator.method)
    groups = Subsets(x, np.arange(60) % 5) if players == "subsets" else None
    game, other = (evaluator.game(engine, seed, groups) for seed in (4, 5))
    listings = [np.array(order) for order in permutations([1, 2, 4])]
    utilities = game(listings)
    np.testing.assert_allclose(utilities, utilities[0], rtol=1e-5)
    assert abs(other(listings[:1])[0] - utilities[0]) > 0.05 * abs(utilities[0])


def test_useful_points_get_high_values(two_blobs):
    """Unlearning everything costs accuracy, and all of it is shared out: the sum is positive and exact."""
    evaluator = UnlearningShapley(STRONG, sampling=ONE, random_state=0)
    model = ClassifierMLP(4, 2, layers=3)
    train(evaluator, two_blobs, model, epochs=30, lr=0.01)
    lost = evaluator.diagnostics_["utility_full"] - evaluator.diagnostics_["utility_unlearned"]
    assert evaluator.diagnostics_["utility_full"] == 1.0
    assert lost > 0.3
    assert evaluator.data_values.sum() == pytest.approx(lost)


def test_planted_label_noise_is_found(problem, model, fetcher, global_state):
    evaluator = train(UnlearningShapley(sampling={"permutations": 6}, random_state=0, **GENTLE), fetcher, model)
    assert roc_auc_score(problem.corrupted, -evaluator.data_values) > 0.7
    assert evaluator.standard_errors_.shape == (60,)
    assert (evaluator.standard_errors_ > 0).all()


def test_head_is_all_where_there_is_only_a_head(problem, model, fetcher):
    both = [
        train(
            UnlearningShapley({**WEAK, "parameters": moved}, "log_loss", ONE, random_state=0), fetcher, model
        ).data_values
        for moved in ("all", "head")
    ]
    np.testing.assert_allclose(*both, atol=1e-5)


def test_the_same_to_the_bit_whatever_the_global_seeds(problem, model):
    values = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            evaluator = UnlearningShapley(sampling=ONE, random_state=7, **GENTLE)
            values.append(train(evaluator, problem.fetcher(), model).data_values)
    other = train(UnlearningShapley(sampling=ONE, random_state=8, **GENTLE), problem.fetcher(), model).data_values
    assert values[0].tobytes() == values[1].tobytes()
    assert values[0].tobytes() != other.tobytes()


def test_training_again_forgets_the_first_values(problem, model):
    evaluator = UnlearningShapley(sampling=ONE, random_state=0, **GENTLE)
    first = train(evaluator, problem.fetcher(), model).data_values
    smaller = problem.fetcher()
    smaller.x_train, smaller.y_train = smaller.x_train[:20], smaller.y_train[:20]
    assert train(evaluator, smaller, model).data_values.shape == (20,)
    assert first.shape == (60,)


@pytest.mark.parametrize("make", [lambda: LogisticRegression(4, 2), lambda: ClassifierMLP(4, 2, layers=3)])
def test_with_opendatavals_mediator_and_models(two_blobs, make):
    evaluator = UnlearningShapley(sampling={"permutations": 2}, random_state=0, **GENTLE)
    mediator = ExperimentMediator(two_blobs, make(), {"epochs": 3, "lr": 0.05}, "accuracy", raises_error=True)
    mediator.compute_data_values([evaluator])
    assert evaluator.data_values.shape == (16,)
    assert np.isfinite(evaluator.data_values).all()


def test_divergence_is_an_error_and_not_a_value(problem, model, fetcher):
    evaluator = UnlearningShapley({**WEAK, "steps": 50, "lr": 1e38}, sampling=ONE, random_state=0)
    with pytest.raises(FloatingPointError, match="lower it"):
        train(evaluator, fetcher, model)


@pytest.mark.parametrize(
    "wrong",
    [{"utility": "accuracy"}, {"sampling": {"permutations": 0}}, {"sampling": 5}, {"sampling": {"seconds": "1"}}],
)
def test_settings_that_do_not_exist(wrong):
    with pytest.raises((ValueError, UserError), match=r"utility|permutations|seconds"):
        UnlearningShapley(**wrong)


def test_many_at_once_and_one_at_a_time_agree(problem, model):
    both = [
        train(UnlearningShapley(sampling=ONE, memory=memory, random_state=0, **GENTLE), problem.fetcher(), model)
        for memory in (None, 0)
    ]
    np.testing.assert_allclose(both[0].data_values, both[1].data_values, atol=1e-5)


def test_truncated_at_the_untrained_models_performance(two_blobs):
    """Unlearned hard, the model soon is as bad as an untrained one: those who come later get nothing."""

    def values(truncation):
        with torch.random.fork_rng():  # OpenDataVal's models draw from torch's global generator
            torch.manual_seed(1)
            sampling, model = {"permutations": 1, "truncation": truncation}, ClassifierMLP(4, 2, layers=3)
            evaluator = UnlearningShapley(STRONG, sampling=sampling, random_state=0)
            return train(evaluator, two_blobs, model, epochs=30, lr=0.01)

    whole, cut, never = (values(truncation) for truncation in (None, 0.1, -1.0))
    assert (cut.data_values != 0).sum() < (whole.data_values != 0).sum()
    np.testing.assert_array_equal(never.data_values, whole.data_values)


def test_antithetic_permutations_are_pairs(problem, model, fetcher):
    evaluator = train(
        UnlearningShapley(sampling=Sampling(3, antithetic=True), random_state=0, **GENTLE), fetcher, model
    )
    assert evaluator.diagnostics_["permutations"] == 4


def test_a_truncation_that_leaves_nothing_is_refused(problem, model, fetcher):
    with pytest.raises(UserError, match="train longer, or lower the truncation"):
        train(UnlearningShapley(sampling={"truncation": 50.0}, **GENTLE), fetcher, model)
