"""Gradient ascent against a plain loop of the same loss, and what unlearning must do and leave alone."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_loops import plain_unlearning, point_loss, weights_of
from torch import nn

from dvbench.training.heads import all_features_and_logits, output_layer
from dvbench.training.stacks import stack
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

COALITION = np.array([6, 1, 8])
STRONG = GradientAscent(steps=30, batch_size=8, lr=0.02, lambda1=0.01, lambda2=0.1)
FEW = GradientAscent(steps=4, batch_size=5, lr=0.01, weight_decay=0.3, lambda1=0.4, lambda2=0.7)


@pytest.fixture
def setting(make_model, make_points):
    """Trained network with the players' and the validation points."""

    def make(name, kind="classification"):
        model, (x, y) = make_model(name, kind), make_points(name, 10, kind)
        model.fit(x, y, batch_size=5, epochs=5, lr=0.05)
        return model.network, (x, y, *make_points(name, 7, kind, seed=1))

    return make


def outputs_without(unlearner, coalition, seed):
    """Logits (points, outputs) of one model."""
    ((numbers, logits),) = unlearner.outputs_without([coalition], seed)
    assert numbers.tolist() == [0]
    return logits[0].T


def unlearned(unlearner, coalition, seed):
    """All parameters of one model in one vector."""
    return torch.cat([parameter.flatten() for parameter in unlearner.unlearn([coalition], seed).parameters])


def parameters_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
@pytest.mark.parametrize("steps", [1, 4])
def test_unlearning_equals_a_plain_loop_of_its_loss(name, kind, steps, setting):
    network, (x, y, x_validation, y_validation) = setting(name, kind)
    ascent = replace(FEW, steps=steps)
    expected = plain_unlearning(network, x, y, x_validation, COALITION, 11, ascent)
    actual = unlearned(StackedUnlearner(network, x, y, x_validation, y_validation, ascent), COALITION, 11)
    torch.testing.assert_close(actual, parameters_of(expected), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_logits_are_those_of_the_unlearned_network(parameters, setting):
    network, data = setting("mlp")
    unlearner = StackedUnlearner(network, *data, replace(FEW, parameters=parameters))
    whole = copy.deepcopy(network)
    moving = (output_layer(whole, data[0]) if parameters == "head" else whole).parameters()
    with torch.no_grad():
        for parameter, new in zip(moving, unlearner.unlearn([COALITION], 5).parameters, strict=True):
            parameter.copy_(new[0])
        torch.testing.assert_close(outputs_without(unlearner, COALITION, 5), whole(data[2]))


def test_head_alone_equals_a_plain_loop_on_features(setting):
    network, (x, y, x_validation, y_validation) = setting("mlp")
    features, _ = all_features_and_logits(network, x)
    validation, _ = all_features_and_logits(network, x_validation)
    expected = plain_unlearning(output_layer(network, x), features, y, validation, COALITION, 11, FEW)
    unlearner = StackedUnlearner(network, x, y, x_validation, y_validation, replace(FEW, parameters="head"))
    torch.testing.assert_close(unlearned(unlearner, COALITION, 11), weights_of(expected), rtol=1e-6, atol=1e-8)


def test_head_and_all_agree_where_the_head_is_all(setting):
    network, data = setting("logistic_regression")
    everything = outputs_without(StackedUnlearner(network, *data, FEW), COALITION, 0)
    head = outputs_without(StackedUnlearner(network, *data, replace(FEW, parameters="head")), COALITION, 0)
    torch.testing.assert_close(head, everything)


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_the_loss_on_the_forget_set_rises(parameters, setting):
    network, (x, y, *_) = setting("mlp")
    # The players are the validation set too, so that logits of the forget set can be read.
    unlearner = StackedUnlearner(network, x, y, x, y, replace(STRONG, parameters=parameters))
    before, after = (point_loss(outputs_without(unlearner, c, 0), y)[COALITION] for c in (COALITION[:0], COALITION))
    assert after.mean() > before.mean() + 0.2


def test_a_large_lambda1_keeps_parameters_near(setting):
    network, data = setting("mlp")
    start = parameters_of(network)
    moved = [
        (unlearned(StackedUnlearner(network, *data, replace(STRONG, lambda1=lambda1)), COALITION, 0) - start).norm()
        for lambda1 in (0.0, 1e6)
    ]
    assert moved[1] < moved[0] / 3


def test_a_large_lambda2_keeps_outputs_on_the_validation_set_near(setting):
    network, data = setting("mlp")
    full = network(data[2]).detach().softmax(1)
    moved = [
        (
            outputs_without(StackedUnlearner(network, *data, replace(STRONG, lambda2=lambda2)), COALITION, 0).softmax(1)
            - full
        ).norm()
        for lambda2 in (0.0, 1e3)
    ]
    assert moved[1] < moved[0] / 3


def test_only_the_coalition_and_the_validation_set_are_looked_at(setting):
    network, (x, y, *validation) = setting("mlp")
    expected = outputs_without(StackedUnlearner(network, x, y, *validation, FEW), COALITION, 0)
    others = np.setdiff1d(np.arange(10), COALITION)
    x, y = x.clone(), y.clone()
    x[others], y[others] = torch.nan, torch.nan
    assert torch.equal(outputs_without(StackedUnlearner(network, x, y, *validation, FEW), COALITION, 0), expected)


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_without_a_coalition_the_full_model_remains(parameters, setting):
    network, data = setting("mlp")
    unlearner = StackedUnlearner(network, *data, replace(FEW, parameters=parameters))
    torch.testing.assert_close(outputs_without(unlearner, COALITION[:0], 0), network(data[2]).detach())
    assert unlearner.count == 0


def test_unlearned_coalitions_are_counted(setting):
    network, data = setting("mlp")
    unlearner = StackedUnlearner(network, *data, FEW)
    outputs_without(unlearner, COALITION, 0)
    outputs_without(unlearner, COALITION, 0)
    assert unlearner.count == 2


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_the_network_is_not_changed(parameters, setting):
    network, data = setting("mlp")
    network.train().requires_grad_(False)
    before = weights_of(network)
    outputs_without(StackedUnlearner(network, *data, replace(FEW, parameters=parameters)), COALITION, 0)
    assert torch.equal(weights_of(network), before)
    assert network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_one_coalition_does_not_depend_on_those_before_it(parameters, setting):
    network, data = setting("mlp")
    unlearner = StackedUnlearner(network, *data, replace(FEW, parameters=parameters))
    first = outputs_without(unlearner, COALITION, 0)
    assert not torch.equal(outputs_without(unlearner, COALITION, 1), first)
    assert not torch.equal(outputs_without(unlearner, np.array([0]), 0), first)
    assert torch.equal(outputs_without(unlearner, COALITION, 0), first)


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_batch_statistics_stay_frozen_and_dropout_off(parameters, make_points):
    x, y = make_points("mlp", 10)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)).double().train()
    network(x)
    unlearner = StackedUnlearner(network, x, y, x, y, replace(FEW, parameters=parameters))
    frozen = copy.deepcopy(network).eval()
    assert torch.equal(outputs_without(unlearner, COALITION[:0], 0), frozen(x))
    if parameters == "all":
        expected = plain_unlearning(frozen, x, y, x, COALITION, 0, FEW)
        actual = unlearned(unlearner, COALITION, 0)
        torch.testing.assert_close(actual, parameters_of(expected), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("precision", "expected"), [("float32", "float32"), ("bfloat16", "float32"), ("tf32", "tf32")])
def test_a_model_in_tf32_unlearns_in_tf32(precision, expected, make_model, make_points, monkeypatch):
    asked = set()

    def products_in(precision, device):
        asked.add(precision)
        return nullcontext()

    monkeypatch.setattr("dvbench.unlearning.stacked_engine.products_in", products_in)
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    model.precision = precision
    outputs_without(StackedUnlearner(model, x, y, x, y, FEW), COALITION, 0)
    assert asked == {expected}


def test_fewer_are_unlearned_together_where_memory_runs_out(setting, monkeypatch):
    network, data = setting("mlp")
    coalitions = [np.arange(i + 1) for i in range(7)]
    unlearner = StackedUnlearner(network, *data, FEW, budget=2**30)
    expected = torch.cat([logits for _, logits in unlearner.outputs_without(coalitions, 0)])
    made = []

    def stack_of(network, copies):
        made.append(copies)
        if copies > 2:
            raise torch.OutOfMemoryError
        return stack(network, copies)

    monkeypatch.setattr("dvbench.unlearning.stacked_engine.stack", stack_of)
    tight = StackedUnlearner(network, *data, FEW, budget=2**30)
    groups = list(tight.outputs_without(coalitions, 0))
    assert [numbers.tolist() for numbers, _ in groups] == [[0], [1], [2], [3], [4], [5], [6]]
    assert made[1:] == [7, 3, 1]
    torch.testing.assert_close(torch.cat([logits for _, logits in groups]), expected)
    assert tight.count == 7
    made.clear()
    monkeypatch.setattr("dvbench.unlearning.stacked_engine._Room", lambda *_: stack_of(network, 3))
    with pytest.raises(torch.OutOfMemoryError):
        list(StackedUnlearner(network, *data, FEW, budget=2**30).outputs_without(coalitions[:1], 0))


def test_divergence_is_an_error(setting):
    network, data = setting("mlp")
    with pytest.raises(FloatingPointError, match=r"learning rate 1e\+200.*fewer steps than 4"):
        outputs_without(StackedUnlearner(network, *data, replace(FEW, lr=1e200)), COALITION, 0)
