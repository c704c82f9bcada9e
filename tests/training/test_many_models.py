"""Many copies of a network, trained or unlearned together, against one at a time."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from opendataval.metrics import accuracy
from opendataval.model import ClassifierMLP
from plain_loops import by_number, plain_training, plain_unlearning
from torch import nn

from dvbench.training.heads import logits_network
from dvbench.training.losses import residuals
from dvbench.training.optimisers import AdamW
from dvbench.training.stacks import FunctionalStack, LinearStack, stack, view_as_stack
from dvbench.training.tensor_model import TensorModel, seeded
from dvbench.training.utilities import model_utilities
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

HOW = {"batch_size": 4, "epochs": 3, "lr": 1e-2}
COALITIONS = [np.array(c, dtype=int) for c in ([3], [], range(10), [9, 0, 4, 7, 2], [1, 5], range(1, 10), [8, 8, 2, 8])]
ASCENT = GradientAscent(steps=4, batch_size=5, lr=0.01, weight_decay=0.3, lambda1=0.4, lambda2=0.7)


def vector(one):
    return torch.cat([parameter.flatten() for parameter in one.parameters])


def parameters_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


class Hidden(nn.Module):
    """A network that does not show what it is made of."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


@pytest.mark.parametrize("budget", [1, 10_000, None])
@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
def test_each_copy_is_trained_as_by_a_plain_loop(name, kind, budget, make_model, make_points):
    model, (x, y) = make_model(name, kind, weight_decay=0.3), make_points(name, 10, kind)
    actual = by_number(model.fit_many(x, y, COALITIONS, budget=budget, **HOW))
    assert sorted(actual) == list(range(len(COALITIONS)))
    for number, coalition in enumerate(COALITIONS):
        expected = model.network
        if len(coalition):
            expected = plain_training(expected, x[coalition], y[coalition], seed=3, weight_decay=0.3, **HOW)
        torch.testing.assert_close(vector(actual[number]), parameters_of(expected), rtol=1e-6, atol=1e-8)


def test_many_steps_are_drawn_in_pieces(make_model, make_points, monkeypatch):
    monkeypatch.setattr("dvbench.training.stack_training.PREFETCHED_STEPS", 4)
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    actual = by_number(model.fit_many(x, y, COALITIONS, batch_size=2, epochs=3, lr=0.01))
    for number, coalition in enumerate(COALITIONS):
        alone = model.clone().fit(x[coalition], y[coalition], batch_size=2, epochs=3, lr=0.01)
        torch.testing.assert_close(vector(actual[number]), parameters_of(alone))


class FunctionalDropout(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=self.training)


class Clipped(nn.Module):
    """Looks at a number in a tensor."""

    def forward(self, x):
        return x.clamp(max=x.max().item() / 2)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(6),
        nn.BatchNorm1d(6, momentum=None),
        nn.Dropout(0.5),
        FunctionalDropout(),
        nn.RReLU(),
        nn.Tanh(),
        Clipped(),
    ],
    ids=str,
)
def test_each_copy_is_what_fit_makes_of_a_clone(layer, make_points):
    """Also where points of a minibatch act on each other, and where training is random."""
    x, y = make_points("mlp", 12)

    def build():
        return nn.Sequential(nn.Linear(4, 6), copy.deepcopy(layer), nn.ReLU(), nn.Linear(6, 3)).double()

    model = TensorModel(seeded(build, 0), "classification", 3, seed=3)
    coalitions = [np.array(c, dtype=int) for c in ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], range(12), [], [2, 4, 6])]
    actual = by_number(model.fit_many(x, y, coalitions, batch_size=3, epochs=2, lr=0.01))
    for number, coalition in enumerate(coalitions):
        alone = model.clone().fit(x[coalition], y[coalition], batch_size=3, epochs=2, lr=0.01)
        torch.testing.assert_close(actual[number].all_outputs(x)[0].T.softmax(1), alone.predict(x))


@pytest.mark.parametrize("parameters", ["all", "head"])
@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
def test_each_copy_is_unlearned_as_by_a_plain_loop(name, parameters, make_model, make_points):
    model, (x, y) = make_model(name), make_points(name, 10)
    x_validation, y_validation = make_points(name, 7, seed=1)
    model.fit(x, y, batch_size=5, epochs=2, lr=0.01)
    ascent = replace(ASCENT, parameters=parameters)
    coalitions = [coalition for coalition in COALITIONS if len(coalition)]
    unlearner = StackedUnlearner(model, x, y, x_validation, y_validation, ascent)
    parts = [coalitions[i : i + unlearner.at_once] for i in range(0, len(coalitions), unlearner.at_once)]
    models = [models[i : i + 1] for models in (unlearner.unlearn(p, 11) for p in parts) for i in range(models.copies)]
    actual = by_number(unlearner.outputs_without(coalitions, 11))
    for number, coalition in enumerate(coalitions):
        if parameters == "all":
            expected = plain_unlearning(model.network, x, y, x_validation, coalition, 11, ascent)
            torch.testing.assert_close(vector(models[number]), parameters_of(expected), rtol=1e-6, atol=1e-8)
            torch.testing.assert_close(actual[number][0].T, expected(x_validation).detach())
        one = StackedUnlearner(model, x, y, x_validation, y_validation, ascent, budget=1)
        assert one.at_once == 1
        torch.testing.assert_close(actual[number], next(one.outputs_without([coalition], 11))[1])
    assert unlearner.count == 2 * len(coalitions)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_resnets_are_unlearned_one_after_the_other_with_frozen_statistics(layout, make_model, make_points, monkeypatch):
    monkeypatch.setattr("dvbench.training.stacks.CHANNELS_LAST", ("cpu",) if layout == "channels last" else ())
    model, (x, y) = make_model("resnet18").float(), (tensor.float() for tensor in make_points("resnet18", 6))
    ascent = GradientAscent(steps=2, batch_size=3, lr=1e-4)
    unlearner = StackedUnlearner(model, x, y, x, y, ascent, budget=2**40)
    actual = by_number(unlearner.outputs_without([np.array([0, 1]), np.array([2, 3, 4])], 0))
    for number, coalition in enumerate(([0, 1], [2, 3, 4])):
        expected = plain_unlearning(model.network, x, y, x, coalition, 0, ascent)
        torch.testing.assert_close(actual[number][0].T, expected(x).detach(), rtol=1e-2, atol=1e-2)
    assert not torch.allclose(actual[0], actual[1], atol=0.1)


@pytest.mark.parametrize("name", ["cnn", "resnet18", "resnet9"])
def test_channels_last_trains_the_same_models(name, make_model, make_points, monkeypatch):
    """The layout in memory of weights, gradients and moments, which changes rounding only."""
    models = []
    for layout in ((), ("cpu",)):
        monkeypatch.setattr("dvbench.training.stacks.CHANNELS_LAST", layout)
        model, (x, y) = make_model(name), make_points(name, 6)
        copies = stack(model.network, 1)
        images = [tensor[0] for tensor in (*copies.parameters, *AdamW(copies, 0.1, 0.0).moments[0]) if tensor.ndim == 5]
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in images) == bool(layout)
        models.append(model.fit(x, y, batch_size=3, epochs=2, lr=1e-3))
        assert model.all_outputs(x).shape == (1, 3, 6)
    one, other = models
    torch.testing.assert_close(parameters_of(one), parameters_of(other), rtol=1e-6, atol=1e-8)


def test_networks_with_convolutions_are_not_stacked(make_model, make_points):
    """`torch.func` would make grouped convolutions of them."""
    model, (x, y) = make_model("cnn"), make_points("cnn", 10)
    sizes = [len(numbers) for numbers, _ in model.fit_many(x, y, COALITIONS, budget=2**40, **HOW)]
    assert sizes == [1] * len(COALITIONS)
    assert StackedUnlearner(model, x, y, x, y, ASCENT, budget=2**40).at_once == 1


def test_chains_and_functions_agree(make_model, make_points):
    network = make_model("mlp").network
    x = make_points("mlp", 9)[0].expand(4, 9, 4)
    y = make_points("mlp", 9, seed=5)[1].T.unsqueeze(0)
    chain, function = stack(network, 4), stack(Hidden(network), 4)
    assert (type(chain), type(function)) == (LinearStack, FunctionalStack)
    for either in (chain, function):
        for copies, factor in zip(range(4), (1.0, 1.1, 0.9, 1.2), strict=True):
            for parameter in either.parameters:
                parameter[copies] *= factor
        either.accumulate_gradient(x, lambda z: residuals(z, y))
        either.accumulate_gradient(x[:1], lambda z: residuals(z, y), beta=0.5)
    torch.testing.assert_close(chain.all_outputs(x[0]), function.all_outputs(x[0]))
    for one, other in zip(chain.gradients, function.gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3, bias=False)),
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(0), nn.Linear(4, 3)),
        nn.Sequential(nn.ReLU(), nn.Linear(4, 3)),
    ],
    ids=str,
)
def test_only_chains_are_taken_for_chains(network):
    assert type(view_as_stack(network)) is FunctionalStack


def test_a_plain_chain_stays_one_when_its_logits_are_asked_for():
    """And is unlearned in matrix products."""
    chain, x = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(5, 4)
    for network in (chain, chain[-1]):
        assert type(stack(logits_network(network, x), 2)) is LinearStack
        assert logits_network(network, x) is not network
    with_softmax = nn.Sequential(chain[1], nn.Softmax(dim=1))
    torch.testing.assert_close(logits_network(with_softmax, x)(x), chain[1](x))


def test_opendatavals_classifiers_unlearn_together(make_points):
    """They end in a softmax, which unlearning leaves out."""
    x, y = make_points("mlp", 10)
    model = ClassifierMLP(4, 3, layers=3, hidden_dim=6).double()
    unlearner = StackedUnlearner(model, x, y, x, y, ASCENT)
    actual = by_number(unlearner.outputs_without(COALITIONS, 0))
    for number, coalition in enumerate(COALITIONS):
        if len(coalition):
            expected = plain_unlearning(logits_network(model, x), x, y, x, coalition, 0, ASCENT)
            torch.testing.assert_close(actual[number][0].T, expected(x).detach())


@pytest.mark.parametrize("hide", [False, True])
def test_bfloat16_comes_near_and_keeps_weights_in_float32(hide, make_points):
    x, y = (tensor.float() for tensor in make_points("mlp", 40))

    def trained(precision):
        network = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 0)
        model = TensorModel(Hidden(network) if hide else network, "classification", 3, seed=3, precision=precision)
        ((_, models),) = model.fit_many(x, y, [np.arange(40), np.arange(30)], batch_size=8, epochs=5, lr=0.01)
        return models

    exact, low = trained("float32"), trained("bfloat16")
    assert {parameter.dtype for parameter in low.parameters} == {torch.float32}
    assert 0 < (vector(exact) - vector(low)).abs().max() < 0.02 < (vector(exact[:1]) - vector(exact[1:])).abs().max()


def test_bfloat16_is_for_training_and_not_for_who_looks_on(make_points):
    x, y = (tensor.float() for tensor in make_points("mlp", 10))
    network, seen = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 0), []
    model = TensorModel(network, "classification", 3, seed=3, precision="bfloat16")
    model.fit(x, y, epochs=2, on_epoch=lambda: seen.append(network(x).dtype))
    assert seen == [torch.float32] * 2


def test_frozen_layers_stay(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    model.network[1].requires_grad_(False)
    before = model.network[1].weight.clone()
    expected = plain_training(model.network, x, y, seed=3, weight_decay=0.01, **HOW)
    ((_, models),) = model.fit_many(x, y, [np.arange(10)], **HOW)
    torch.testing.assert_close(vector(models), parameters_of(expected), rtol=1e-6, atol=1e-8)
    assert torch.equal(model.fit(x, y, **HOW).network[1].weight, before)


def test_layers_that_share_weights_or_are_watched_are_no_chain():
    one, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight, other.bias = one.weight, one.bias
    tied = nn.Sequential(one, nn.ReLU(), other)
    watched = nn.Sequential(nn.Linear(4, 3))
    watched[0].register_forward_hook(lambda module, inputs, output: output + 1)
    for network in (tied, watched):
        x = torch.randn(5, 4)
        torch.testing.assert_close(stack(network, 2).all_outputs(x)[1].T, network(x).detach())


def test_normalisation_without_statistics_is_not_filled_up(make_points):
    x, y = make_points("mlp", 12)

    def build():
        norm = nn.BatchNorm1d(6, track_running_stats=False)
        return nn.Sequential(nn.Linear(4, 6), norm, nn.ReLU(), nn.Linear(6, 3)).double()

    model = TensorModel(seeded(build, 0), "classification", 3, seed=3)
    coalitions = [np.arange(12), np.arange(10)]
    actual = by_number(model.fit_many(x, y, coalitions, batch_size=5, epochs=2, lr=0.01))
    for number, coalition in enumerate(coalitions):
        alone = model.clone().fit(x[coalition], y[coalition], batch_size=5, epochs=2, lr=0.01)
        torch.testing.assert_close(vector(actual[number]), parameters_of(alone))


@pytest.mark.parametrize(
    "wrong", [[-1, 0], [0, 10], np.array([True, False]), np.array([0.0, 1.0]), np.zeros((2, 2), int)]
)
def test_coalitions_are_numbers_of_players(wrong, make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    with pytest.raises(ValueError, match="whole numbers from 0 to 9"):
        list(model.fit_many(x, y, [wrong], **HOW))
    with pytest.raises(ValueError, match="whole numbers from 0 to 9"):
        list(StackedUnlearner(model, x, y, x, y, ASCENT).outputs_without([wrong], 0))


def test_infinite_outputs_of_finite_parameters_are_no_performance(make_points):
    x, y = (tensor.float() for tensor in make_points("mlp", 10))
    network = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 0)
    model = TensorModel(network, "classification", 3, seed=3)
    ((_, models),) = model.fit_many(x, y, [np.arange(10)], epochs=1, lr=1e20)
    assert models.finite().all()
    with pytest.raises(FloatingPointError, match="outputs are NaN or infinite"):
        model_utilities(accuracy, y, models.all_outputs(x))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"lr": 0.0}])
def test_unlearning_needs_steps_points_and_a_rate(wrong):
    with pytest.raises(ValueError, match=r"whole number of at least 1|number above 0"):
        GradientAscent(**wrong)


def test_fits_are_counted_by_the_copy(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    list(model.fit_many(x, y, COALITIONS, **HOW))
    assert model.fits.count == len(COALITIONS)


def test_the_model_itself_stays(make_model, make_points):
    model, (x, y) = make_model("cnn"), make_points("cnn", 10)
    before = parameters_of(model)
    list(model.fit_many(x, y, COALITIONS, **HOW))
    assert torch.equal(parameters_of(model), before)


def test_one_model_of_many_that_diverges_is_told_of(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    x[0] = x[4] = torch.inf
    coalitions = [np.array([6, 1, 7]), np.array([4, 2]), np.array([3, 5])]  # of unlike size: some are filled up
    with pytest.raises(
        FloatingPointError,
        match=r"diverged for 1 of 3 models \(the first has 2 points\) at learning rate 0\.01; lower it",
    ):
        list(model.fit_many(x, y, coalitions, **HOW))
    x[0] = x[4] = 1.0
    model.fit(x, y, **HOW)
    x[4] = torch.inf
    unlearner = StackedUnlearner(model, x, y, *make_points("mlp", 5), ASCENT)
    with pytest.raises(FloatingPointError, match=r"diverged for 1 of 3 coalitions \(the first has 2 players\)"):
        list(unlearner.outputs_without(coalitions, 0))


def test_rounding_is_not_blown_up_where_the_forget_set_says_nothing():
    """Weights of a feature that is 0 in the forget set feel only the divergence, whose slope at the start is 0."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 50), torch.eye(3)[torch.randint(0, 3, (40,))]
    x[:5, 10:] = 0.0
    network = nn.Linear(50, 3)
    ascent = GradientAscent(steps=1, lr=0.1, weight_decay=0.0)
    moved = StackedUnlearner(network, x, y, x, y, ascent).unlearn([np.arange(5)] * 3, 0).parameters[0] - network.weight
    assert not moved[:, :, 10:].any()
    assert moved[:, :, :10].abs().min() > 0.05


def test_outputs_that_overflow_are_an_error(make_model, make_points):
    model, (x, y) = make_model("mlp").float(), (part.float() for part in make_points("mlp", 10))
    model.fit(x, y, **HOW)
    with pytest.raises(FloatingPointError, match="outputs are NaN or infinite"):
        model.predict(x * 3e38)
    with pytest.raises(FloatingPointError, match="utility of a model is nan"):
        model_utilities(lambda y, predicted: float("nan"), y, torch.zeros(2, 3, 10))
