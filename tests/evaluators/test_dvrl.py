"""DVRL: what its inputs are, that it finds flipped labels, and that rounding does not decide what it selects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opendataval.dataval import DVRL as STOCK
from opendataval.metrics import accuracy
from other_processor import values_with_old_instructions
from sklearn.metrics import roc_auc_score

from dvbench.problems.build import build_problem
from dvbench.settings import ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from evaluators import DVRL
from evaluators.baselines import dvrl

FIT = {"epochs": 5, "batch_size": 128, "lr": 0.1}


def flipped(seed: int = 0):
    """Breast cancer, 100 players of which 20 have a wrong label, and a logistic regression."""
    sizes = Sizes(train=100, validation=100, test=10)
    problem = build_problem("breast_cancer", sizes, Noise(kind="labels", rate=0.2), seed)
    model = build_model(ModelSettings(name="logistic_regression"), problem.shape, 2, problem.kind, seed=seed)
    return problem, model


def values(steps: int = 100) -> np.ndarray:
    problem, model = flipped()
    evaluator = DVRL(steps, 50, random_state=0)
    return evaluator.train(problem.fetcher(), model, accuracy, **FIT).evaluate_data_values()


def test_flipped_labels_have_low_values() -> None:
    scores = []
    for seed in range(3):
        problem, model = flipped(seed)
        found = DVRL(100, 50, random_state=seed).train(problem.fetcher(), model, accuracy, **FIT)
        scores.append(roc_auc_score(~problem.corrupted, found.evaluate_data_values()))
    assert np.mean(scores) > 0.8


def test_rounding_does_not_decide_what_is_selected() -> None:
    """OpenDataVal's values of two processors have a rank correlation of 0.1 to 0.9 after as many steps."""
    np.testing.assert_allclose(values_with_old_instructions("test_dvrl"), values(), atol=1e-6)


def test_labels_are_compared_with_a_model_of_the_validation_set_alone() -> None:
    problem, model = flipped()
    evaluator = DVRL(3, random_state=0).input_data(
        problem.train.x, problem.train.y, problem.validation.x, problem.validation.y
    )
    evaluator.input_model(model).input_metric(accuracy)
    x, y, difference = evaluator._inputs(**FIT)
    reference = model.clone().fit(problem.validation.x, problem.validation.y, **FIT)
    expected = (problem.train.y - reference.predict(problem.train.x)).abs()
    assert torch.equal(x.float(), problem.train.x)
    assert torch.equal(y.float(), problem.train.y)
    assert (difference - expected).abs().max() <= 0.5 / dvrl.ROUNDING + 1e-6
    trained = evaluator.train_data_values(**FIT)
    with torch.no_grad():
        again = trained.value_estimator(x, y, difference).squeeze(1).numpy()
    np.testing.assert_array_equal(trained.evaluate_data_values(), again)


def test_differences_of_small_targets_are_not_rounded_away() -> None:
    """OpenDataVal's mediator does not standardise targets: their range decides what rounding is."""
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    inputs = []
    for scale in (1.0, 1e-3):
        y = scale * x.sum(dim=1, keepdim=True)
        model = build_model(ModelSettings(name="logistic_regression"), (3,), 1, "regression", seed=0)
        evaluator = DVRL(1, random_state=0).input_data(x, y, x[:10], y[:10]).input_model(model)
        inputs.append(evaluator._inputs(epochs=20, batch_size=8, lr=0.01)[2])
    assert [len(difference.unique()) > 5 for difference in inputs] == [True, True]


@pytest.mark.parametrize("variant", ["paper", "opendataval"])
def test_one_player_has_one_value(variant) -> None:
    _, model = flipped()
    x, y = torch.zeros(1, 30), torch.eye(2)[[0]]
    evaluator = DVRL(2, variant=variant, random_state=0).input_data(x, y, x, y).input_model(model)
    trained = evaluator.input_metric(accuracy).train_data_values(**FIT)
    assert trained.evaluate_data_values().shape == (1,)


@pytest.mark.parametrize("reward", [0.5, -0.5])
def test_a_reward_makes_its_selection_more_likely(reward: float) -> None:
    evaluator = DVRL(1, random_state=0)
    probabilities = torch.full((4,), 0.5, dtype=torch.float64, requires_grad=True)
    selected = torch.tensor([True, True, False, False])
    evaluator._loss(probabilities, selected, reward).backward()
    gradient = probabilities.grad
    assert gradient is not None
    steps = (-gradient * reward).tolist()  # gradient descent moves in this direction where the reward is positive
    assert [step > 0 for step in steps] == selected.tolist()
    # REINFORCE: the derivative of the log-likelihood, 1 / p or -1 / (1 - p), times the reward.
    np.testing.assert_allclose(gradient, -reward * torch.tensor([2.0, 2.0, -2.0, -2.0]))


def test_a_step_that_selects_nothing_has_a_gradient() -> None:
    """OpenDataVal replaces the probabilities by constants there, which its loss does not train."""
    evaluator = DVRL(1, random_state=0)
    probabilities = torch.full((5,), 1e-9, dtype=torch.float64, requires_grad=True)
    selected = dvrl._select(probabilities.detach(), torch.Generator().manual_seed(0))
    assert selected.any()
    evaluator._loss(probabilities, selected, 1.0).backward()
    assert probabilities.grad is not None
    assert (probabilities.grad[selected] < 0).all()


def test_the_baseline_is_a_moving_average_of_utilities(monkeypatch: pytest.MonkeyPatch) -> None:
    utilities, rewards = iter([0.5, 0.7, 0.7]), []
    monkeypatch.setattr(dvrl, "coalition_utility", lambda *_, **__: next(utilities))
    loss = DVRL._loss
    monkeypatch.setattr(DVRL, "_loss", lambda self, p, s, reward: rewards.append(reward) or loss(self, p, s, reward))
    values(3)
    np.testing.assert_allclose(rewards, [0, 0.2, 0.2 * (1 - 1 / 20)])


def test_opendatavals_variant_is_opendatavals() -> None:
    problem, model = flipped()
    ours = DVRL(3, variant="opendataval", random_state=np.random.RandomState(0)).train(
        problem.fetcher(), model, accuracy, **FIT
    )
    theirs = STOCK(rl_epochs=3, rl_batch_size=32, random_state=np.random.RandomState(0))
    with torch.random.fork_rng():
        theirs.train(problem.fetcher(), model, accuracy, **FIT)
    np.testing.assert_array_equal(ours.evaluate_data_values(), theirs.evaluate_data_values())


@pytest.mark.parametrize("wrong", [{"variant": "other"}, {"rl_epochs": 0}, {"rl_batch_size": 0}], ids=str)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"variant is|at least 1"):
        DVRL(**wrong)
