"""Partial valuation against textbook loops, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from opendataval.metrics import accuracy
from opendataval.model import ClassifierMLP
from plain_loops import plain_training, plain_unlearning
from torch import nn

from dvbench.errors import UserError
from dvbench.problems.build import build_problem
from dvbench.randomness import random_state as as_random_state
from dvbench.settings import Groups, ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from dvbench.training.heads import logits_network
from dvbench.training.tensor_model import TensorModel, seeded
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from evaluators import PartialUnlearningShapley

SEED = 7
FIT = {"epochs": 3, "batch_size": 16, "lr": 0.01}
# Textbook code keeps the rounding errors of the divergence in the first step, so the divergence has no weight here.
METHOD = {"name": "gradient_ascent", "steps": 4, "batch_size": 8, "lr": 0.01, "lambda2": 0.0}
HOW = {"method": METHOD, "utility": "log_loss"}


def drawn_seed(random_state):
    return int(as_random_state(random_state).randint(2**31))


def log_loss(network, x, y):
    with torch.no_grad():
        return -float(F.cross_entropy(network(x), y.argmax(dim=1)))


@pytest.fixture
def task():
    """Separable points, of which those of the first target set are mislabelled; a model trained on all of them."""
    generator = torch.Generator().manual_seed(0)
    x, z = (torch.randn(n, 4, generator=generator) for n in (90, 60))
    plane = torch.randn(4, 3, generator=generator)
    y, y_z = (F.one_hot((part @ plane).argmax(dim=1), 3).float() for part in (x, z))
    y[:30] = y[:30].roll(1, dims=1)
    untrained = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), 0)
    model = TensorModel(untrained, "classification", 3, seed=1)
    trained = model.clone().fit(x, y, epochs=30, lr=0.01).network
    return x, y, z, y_z, untrained, trained


def test_the_value_is_made_of_three_losses(task):
    x, y, z, y_z, untrained, trained = task
    evaluator = PartialUnlearningShapley(random_state=SEED, **HOW)
    actual = evaluator.value(trained, (x[:30], y[:30]), (z, y_z), untrained=untrained, **FIT)
    seed, ascent = drawn_seed(SEED), GradientAscent(steps=4, batch_size=8, lr=0.01, lambda2=0.0)
    unlearned = plain_unlearning(trained, x[:30], y[:30], z, np.arange(30), seed, ascent)
    alone = plain_training(untrained, x[:30], y[:30], seed=seed, weight_decay=0.01, **FIT)
    full = log_loss(trained, z, y_z)
    lost = [full - log_loss(network, z, y_z) for network in (unlearned, alone, untrained)]
    terms = [actual.lost_by_unlearning, actual.lost_by_rest, actual.lost_by_all]
    np.testing.assert_allclose(terms, lost, rtol=1e-3, atol=1e-5)
    assert actual.value == pytest.approx((lost[0] + lost[2] - lost[1]) / 2, rel=1e-3)


def test_good_data_are_worth_more_than_mislabelled_ones(task):
    x, y, z, y_z, _, trained = task
    bad, good = (
        PartialUnlearningShapley(GradientAscent(steps=30, lr=1e-3), random_state=0)
        .value(trained, (x[part], y[part]), (z, y_z), epochs=30, lr=0.01)
        .value
        for part in (slice(30), slice(30, 60))
    )
    assert good > bad + 0.1


def test_labels_may_be_class_numbers_and_the_model_stays(task):
    x, y, z, y_z, _, trained = task
    before = [parameter.clone() for parameter in trained.parameters()]
    values = [
        PartialUnlearningShapley(random_state=0, **HOW).value(trained, (x[:30], one), (z, other), **FIT)
        for one, other in ((y[:30], y_z), (y[:30].argmax(dim=1), y_z.argmax(dim=1)))
    ]
    assert values[0] == values[1]
    assert all(torch.equal(a, b) for a, b in zip(before, trained.parameters(), strict=True))


def test_opendatavals_models_and_metrics(task):
    x, y, z, y_z, *_ = task
    model = ClassifierMLP(4, 3, layers=3, hidden_dim=6)
    model.fit(x, y, epochs=5, lr=0.01)
    actual = PartialUnlearningShapley(GradientAscent(steps=3), random_state=0).value(
        model, (x[:30], y[:30]), (z, y_z), **FIT
    )
    assert np.isfinite(actual.value)
    half = PartialUnlearningShapley(GradientAscent(steps=3), random_state=0).value(
        model, (x[:30], y[:30]), (z, y_z), metric=lambda truth, predicted: accuracy(truth, predicted) / 2, **FIT
    )
    assert half.value == pytest.approx(actual.value / 2)


def test_as_an_evaluator_every_subset_is_a_target_set_in_turn():
    groups = Groups(by="random", count=5)
    problem = build_problem(
        "digits", Sizes(train=60, validation=50, test=40), Noise(kind="labels", rate=0.2), 0, groups
    )
    model = build_model(ModelSettings(name="logistic_regression"), (64,), 10, "classification", seed=3)
    evaluator = PartialUnlearningShapley(random_state=SEED, **HOW)
    evaluator.train(problem.subset_fetcher(), model, accuracy, **FIT)
    values = evaluator.evaluate_data_values()
    full = model.clone().fit(problem.train.x, problem.train.y, **FIT).network
    for group in range(5):
        members = np.flatnonzero(problem.groups == group)
        data = problem.train.x[members], problem.train.y[members]
        alone = model.clone().fit(*data, **FIT).network
        ascent = GradientAscent(steps=4, batch_size=8, lr=0.01, lambda2=0.0)
        unlearned = plain_unlearning(
            full, problem.train.x, problem.train.y, problem.validation.x, members, drawn_seed(SEED), ascent
        )
        mean_utilities = [
            log_loss(network, problem.validation.x, problem.validation.y)
            for network in (full, unlearned, model.network, alone)
        ]
        lost = mean_utilities[0] - np.array(mean_utilities[1:])
        assert values[group] == pytest.approx((lost[0] + lost[1] - lost[2]) / 2, rel=1e-3, abs=1e-5)
    assert evaluator.diagnostics_["unlearned"] == 5


class Unresettable(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.ones(4)), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x * self.weight)


def test_opendatavals_networks_are_trained_as_dvbenchs_are(two_blobs):
    torch.manual_seed(0)
    theirs = ClassifierMLP(4, 2)
    state = np.random.RandomState(5)
    same = TensorModel(
        logits_network(theirs, torch.zeros(1, 4)),
        "classification",
        2,
        seed=int(np.random.RandomState(5).randint(2**31)),
    )
    values = PartialUnlearningShapley(**HOW, random_state=state).train(two_blobs, theirs, accuracy, **FIT).data_values
    state = np.random.RandomState(5)
    state.randint(2**31)
    expected = PartialUnlearningShapley(**HOW, random_state=state).train(two_blobs, same, accuracy, **FIT).data_values
    np.testing.assert_array_equal(values, expected)
    assert np.ptp(values) > 0


def test_what_does_not_fit_is_refused(task):
    x, y, z, y_z, _, trained = task

    def refused(message, *, model=trained, target=(x[:9], y[:9]), validation=(z, y_z)):
        with pytest.raises(UserError, match=message):
            PartialUnlearningShapley(random_state=0).value(model, target, validation, **FIT)

    refused("the target set is empty", target=(x[:0], y[:0]))
    refused("the validation set is empty", validation=(z[:0], y_z[:0]))
    refused("9 points and 8 labels", target=(x[:9], y[:8]))
    overlapping = torch.cat([z, x[3:5]]), torch.cat([y_z, y[3:5]])
    refused("2 points of the validation set are in the target set too", validation=overlapping)
    refused(
        "the model has 3 outputs, and labels of the target set have 4 columns", target=(x[:9], F.pad(y[:9], (0, 1)))
    )
    refused("class numbers below 3", target=(x[:9], torch.full((9,), 3)))
    refused("Unresettable cannot be initialised again: pass the model before training", model=Unresettable())
    for wrong in ({"utility": "loss"}, {"method": "ascent"}, {"method": {"name": "scrub", "steps": 0}}):
        with pytest.raises((ValueError, UserError), match=r"utility|no unlearning method|steps is a whole number"):
            PartialUnlearningShapley(**wrong)
