"""Minibatches of one point in networks with batch normalisation."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from opendataval.model import TorchClassMixin, TorchGradMixin, TorchPredictMixin
from torch import nn

from dvbench.randomness import isolated_generators, torch_generator
from dvbench.training.any_model import fit_observed, fit_to_points
from dvbench.training.batch_normalisation import lone_points_normalised
from dvbench.training.gradients import point_gradients
from dvbench.training.tensor_model import TensorModel, seeded

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 5, generator=GENERATOR)
Y = torch.eye(3)[torch.randint(0, 3, (40,), generator=GENERATOR)]
FIT = {"batch_size": 8, "epochs": 3, "lr": 0.02}


def make_network():
    # Without a bias before the normalisation, whose gradient would be nothing but rounding.
    return nn.Sequential(nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def model():
    return TensorModel(seeded(make_network, 0), "classification", 3, seed=1)


class Stock(TorchClassMixin, TorchPredictMixin, TorchGradMixin):
    def __init__(self):
        super().__init__()
        self.num_classes = 3
        self.layers = make_network()

    def forward(self, x):
        return self.layers(x).softmax(dim=1)


def written_out(model, rows):
    """Training as a plain loop; a minibatch of one point is normalised by the running statistics."""
    network = copy.deepcopy(model.network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=FIT["lr"], weight_decay=model.weight_decay)
    generator = torch_generator(model.seed)
    for _ in range(FIT["epochs"]):
        for batch in torch.as_tensor(rows)[torch.randperm(len(rows), generator=generator)].split(FIT["batch_size"]):
            network.train(len(batch) > 1)
            optimiser.zero_grad()
            F.cross_entropy(network(X[batch]), Y[batch]).backward()
            optimiser.step()
    return network.eval()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 17, 40])
def test_training_is_that_of_a_plain_loop(model, count):
    rows = np.arange(count)
    fitted = model.clone().fit(X[rows], Y[rows], **FIT)
    expected = written_out(model, rows)
    torch.testing.assert_close(fitted.network.eval()(X), expected(X), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fitted.network[1].running_mean, expected[1].running_mean)
    assert not torch.equal(fitted.network(X), model.network.eval()(X))


def test_models_of_many_coalitions_are_those_of_single_fits(model):
    coalitions = [np.arange(9), np.arange(1, 10), np.array([4]), np.array([7]), np.arange(0), np.arange(8)]
    seen = set()
    for numbers, models in model.fit_many(X, Y, coalitions, **FIT):
        for logits, number in zip(models.all_outputs(X), numbers, strict=True):
            rows = coalitions[number]
            alone = model.clone().fit(X[rows], Y[rows], **FIT)
            torch.testing.assert_close(logits.T, alone.network.eval()(X), rtol=1e-4, atol=1e-5)
            seen.add(int(number))
    assert seen == set(range(6))


def test_one_point_leaves_running_statistics_and_the_mode_as_they_are():
    network = seeded(make_network, 0).train()
    with lone_points_normalised(network):
        before = network[1].running_mean.clone()
        network(X[:1])
        assert torch.equal(network[1].running_mean, before)
        assert network[1].training
        network(X[:2])
        assert not torch.equal(network[1].running_mean, before)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(X[:1])
    assert network[1].training


def test_one_image_has_statistics():
    layer = nn.BatchNorm2d(3)
    image = torch.randn(1, 3, 4, 4, generator=GENERATOR)
    with lone_points_normalised(layer):
        normalised = layer(image)
    torch.testing.assert_close(normalised, nn.BatchNorm2d(3)(image))
    assert layer.running_mean.any()


@pytest.mark.parametrize("count", [1, 9])
def test_opendatavals_training_accepts_one_point(count):
    with isolated_generators(0):
        network = Stock()
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            network.clone().fit(X[:count], Y[:count], **FIT)
        fitted = fit_to_points(network.clone(), X[:count], Y[:count], **FIT)
        observed = network.clone()
        assert len(fit_observed(observed, X[:count], Y[:count], lambda: 1, **FIT)) == 2
    for trained in (fitted, observed):
        assert not torch.equal(trained.predict(X), network.predict(X))


def test_gradients_of_points_are_those_of_evaluation_mode():
    network = Stock().train()
    gradients = list(point_gradients(network, X[:2], Y[:2]))
    assert not network.training
    for i, gradient in enumerate(gradients):
        loss = F.cross_entropy(network(X[i : i + 1]), Y[i : i + 1])
        for actual, expected in zip(gradient, torch.autograd.grad(loss, list(network.parameters())), strict=True):
            torch.testing.assert_close(actual, expected)
