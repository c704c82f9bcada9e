"""DVRL: what its inputs are, that it finds flipped labels, and that rounding does not decide what it selects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opendataval.dataval import DVRL as STOCK
from opendataval.metrics import accuracy
from opendataval.model import ClassifierMLP
from other_processor import values_with_old_instructions
from sklearn.metrics import roc_auc_score

from dvbench.problems.build import build_problem
from dvbench.settings import ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from evaluators import DVRL
from evaluators.baselines import dvrl
from evaluators.common.coalitions import coalition_utility

FIT = {"epochs": 5, "batch_size": 128, "lr": 0.1}


def flipped(seed: int = 0, players: int = 100):
    """Breast cancer, of whose players a fifth have a wrong label, and a logistic regression."""
    sizes = Sizes(train=players, validation=100, test=10)
    problem = build_problem("breast_cancer", sizes, Noise(kind="labels", rate=0.2), seed)
    model = build_model(ModelSettings(name="logistic_regression"), problem.shape, 2, problem.kind, seed=seed)
    return problem, model


def values(steps: int = 100) -> np.ndarray:
    problem, model = flipped()
    evaluator = DVRL(steps, 50, random_state=0)
    return evaluator.train(problem.fetcher(), model, accuracy, **FIT).evaluate_data_values()


@pytest.mark.slow
@pytest.mark.parametrize(("players", "steps", "batch"), [(100, 100, 50), (400, 300, None)])
def test_flipped_labels_have_low_values(players, steps, batch) -> None:
    """With several minibatches an epoch too: fitted to the selected points alone, AUROC was 0.23 with 400 players."""
    scores = []
    for seed in range(3):
        problem, model = flipped(seed, players)
        found = DVRL(steps, batch, random_state=seed).train(problem.fetcher(), model, accuracy, **FIT)
        scores.append(roc_auc_score(~problem.corrupted, found.evaluate_data_values()))
    assert np.mean(scores) > 0.8


def test_models_are_trained_on_the_whole_batch_with_weights() -> None:
    problem, model = flipped(players=60)
    x, y = problem.train.x, problem.train.y
    training = FIT | {"batch_size": 8}
    evaluator = DVRL(1, random_state=0).input_data(x, y, problem.validation.x, problem.validation.y)
    evaluator.input_model(model).input_metric(lambda _, predicted: float(predicted[:, 0].sum()))
    batch = torch.randperm(60, generator=torch.Generator().manual_seed(0))[:40]
    selected = torch.arange(40) % 3 == 0
    chosen = torch.zeros(60)
    chosen[batch[selected]] = 1.0
    rows = batch.sort().values
    reference = model.clone().fit(x[rows], y[rows], sample_weight=chosen[rows], **training)
    expected = float(reference.predict(problem.validation.x)[:, 0].sum())
    assert evaluator._utility(batch, selected, **training) == expected
    alone = coalition_utility(evaluator, batch[selected].sort().values.tolist(), **training)
    assert alone != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_of_opendatavals_networks_mean_nothing_with_three_classes(classes) -> None:
    """Losses (b,) times weights (b, 1) is a table (b, b) whose mean is the product of both means."""
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    y = torch.eye(classes)[torch.arange(30) % classes]
    weights = (torch.arange(30) < 15).float().unsqueeze(1)
    predicted = []
    with torch.random.fork_rng():
        for each in (weights, weights.flip(0)):
            torch.manual_seed(0)
            network = ClassifierMLP(4, classes, hidden_dim=20)
            network.fit(x, y, sample_weight=each, batch_size=30, epochs=3, lr=0.1)
            predicted.append(network.predict(x))
    assert torch.allclose(*predicted, atol=1e-5) == (classes == 3)


def test_other_models_are_fitted_to_the_selected_points_alone() -> None:
    """With more than two classes, OpenDataVal's networks multiply the losses of all points by all weights."""
    problem, _ = flipped(players=60)
    model = ClassifierMLP(30, 2)
    x, y = problem.train.x, problem.train.y
    evaluator = DVRL(1, random_state=0).input_data(x, y, problem.validation.x, problem.validation.y)
    evaluator.input_model(model).input_metric(lambda _, predicted: float(predicted[:, 0].sum()))
    batch, selected = torch.arange(60), torch.arange(60) % 3 == 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        actual = evaluator._utility(batch, selected, epochs=1, batch_size=60)
        torch.manual_seed(0)
        expected = coalition_utility(evaluator, torch.arange(0, 60, 3).tolist(), epochs=1, batch_size=60)
    assert actual == pytest.approx(expected, rel=1e-6)


def test_values_are_those_of_a_plain_loop() -> None:
    """One clone of the model for each step, and an optimiser that knows each parameter of the value estimator."""
    problem, model = flipped()
    x, y = problem.train.x, problem.train.y
    evaluator = DVRL(20, 50, random_state=0).input_data(x, y, problem.validation.x, problem.validation.y)
    evaluator.input_model(model).input_metric(accuracy)
    inputs, generator = evaluator._inputs(**FIT), torch.Generator()
    generator.manual_seed(int(evaluator.random_state.randint(2**31)))
    estimator = evaluator.value_estimator.double()
    dvrl.initialise(estimator, generator)
    optimiser, utilities = torch.optim.Adam(estimator.parameters(), lr=0.01), []
    for _ in range(20):
        batch = torch.randperm(100, generator=generator)[:50]
        probabilities = estimator(*(part[batch] for part in inputs)).squeeze(1)
        selected = dvrl._select(probabilities.detach(), generator)
        rows, order = batch.sort()
        fitted = model.clone().fit(x[rows], y[rows], sample_weight=selected[order].float(), **FIT)
        utilities.append(accuracy(problem.validation.y, fitted.predict(problem.validation.x)))
        baseline = utilities[0]
        for utility in utilities[1:-1]:
            baseline += (utility - baseline) / dvrl.WINDOW
        optimiser.zero_grad()
        evaluator._loss(probabilities, selected, utilities[-1] - baseline).backward()
        optimiser.step()
        for parameter in estimator.parameters():
            parameter.data.copy_(parameter.data.float())
    assert len(set(utilities)) > 5
    expected = estimator(*inputs).squeeze(1).detach().numpy()
    trained = DVRL(20, 50, random_state=0).train(problem.fetcher(), model, accuracy, **FIT)
    np.testing.assert_allclose(trained.evaluate_data_values(), expected, rtol=0, atol=1e-9)


@pytest.mark.slow
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
    monkeypatch.setattr(DVRL, "_utility", lambda *_, **__: next(utilities))
    loss = DVRL._loss
    monkeypatch.setattr(DVRL, "_loss", lambda self, p, s, reward: rewards.append(reward) or loss(self, p, s, reward))
    values(3)
    np.testing.assert_allclose(rewards, [0, 0.2, 0.2 * (1 - 1 / 20)])


def test_opendatavals_variant_is_opendatavals(global_state) -> None:
    problem, model = flipped()
    ours = DVRL(3, variant="opendataval", random_state=np.random.RandomState(0)).train(
        problem.fetcher(), model, accuracy, **FIT
    )
    theirs = STOCK(rl_epochs=3, rl_batch_size=32, random_state=np.random.RandomState(0))
    with torch.random.fork_rng():
        theirs.train(problem.fetcher(), model, accuracy, **FIT)
        expected = theirs.evaluate_data_values()
    np.testing.assert_array_equal(ours.evaluate_data_values(), expected)


def test_opendatavals_data_loaders_draw_from_the_global_generator() -> None:
    problem, model = flipped()
    theirs = STOCK(rl_epochs=1, random_state=np.random.RandomState(0))
    with torch.random.fork_rng():
        theirs.train(problem.fetcher(), model, accuracy, **FIT)
        before = torch.get_rng_state()
        theirs.evaluate_data_values()
        assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [{"variant": "other"}, {"rl_epochs": 0}, {"rl_batch_size": 0}], ids=str)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"variant is|at least 1"):
        DVRL(**wrong)
