"""Predictions and gradients of every point, against the network and autograd, one point at a time."""

from __future__ import annotations

import pytest
import torch
from plain_loops import point_loss
from torch import nn

from dvbench.training import tensor_model
from dvbench.training.tensor_model import TensorModel

NAMES = ["logistic_regression", "mlp", "cnn"]
KINDS = pytest.mark.parametrize("kind", ["classification", "regression"])


def by_autograd(model, x, y):
    """Gradients of each point's loss, one backward pass a point."""
    parameters = list(model.parameters())
    for point, target in zip(x, y, strict=True):
        yield torch.autograd.grad(point_loss(model.network(point[None]), target[None]).sum(), parameters)


def assert_same_gradients(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_predictions_of_classes_are_probabilities(make_model, make_points):
    model, (x, _) = make_model("mlp"), make_points("mlp", 7)
    exponentials = model.network(x).exp()
    torch.testing.assert_close(model.predict(x), exponentials / exponentials.sum(1, keepdim=True), check_dtype=False)


def test_predictions_of_real_targets_are_the_outputs(make_model, make_points):
    model, (x, _) = make_model("mlp", "regression"), make_points("mlp", 7, "regression")
    assert torch.equal(model.predict(x), model.network(x))


def test_predictions_are_made_in_chunks_and_stay_in_order(monkeypatch, make_model, make_points):
    model, (x, _) = make_model("cnn"), make_points("cnn", 7)
    whole = model.predict(x)
    sizes = []
    model.network.register_forward_hook(lambda _, inputs, output: sizes.append(len(output)))
    monkeypatch.setattr(tensor_model, "PREDICTION_CHUNK", 3)
    torch.testing.assert_close(model.predict(x), whole)
    assert sizes == [3, 3, 1]


def test_no_points_have_no_predictions_and_no_gradients(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 2)
    assert model.predict(x[:0]).shape == (0, 3)
    assert list(model.grad(x[:0], y[:0])) == []


@KINDS
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_one_point_at_a_time(name, kind, make_model, make_points):
    model, (x, y) = make_model(name, kind), make_points(name, 7, kind)
    assert_same_gradients(model.grad(x, y), by_autograd(model, x, y))


def test_gradients_are_taken_in_evaluation_mode(make_points):
    x, y = make_points("mlp", 7)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)).double()
    model = TensorModel(network, "classification", 3, seed=0).fit(x, y, epochs=2, lr=0.1)
    actual = list(model.grad(x, y))
    assert_same_gradients(actual, by_autograd(model.eval(), x, y))


@pytest.mark.parametrize(("points_at_once", "sizes"), [(3.5, [3, 3, 1]), (0.5, [1] * 7), (100, [7])])
def test_gradients_are_taken_in_chunks_that_fit_and_stay_in_order(
    points_at_once, sizes, monkeypatch, make_model, make_points
):
    model, (x, y) = make_model("mlp"), make_points("mlp", 7)
    seen, vmap = [], tensor_model.vmap

    def recording(function, **kwargs):
        mapped = vmap(function, **kwargs)

        def call(parameters, points):
            seen.append(len(points))
            return mapped(parameters, points)

        return call

    monkeypatch.setattr(tensor_model, "vmap", recording)
    floats = sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr(tensor_model, "GRADIENT_FLOATS", int(points_at_once * floats))
    assert_same_gradients(model.grad(x, y), by_autograd(model, x, y))
    assert seen == sizes


def test_gradients_change_no_weights_and_leave_none_behind(make_model, make_points):
    model, (x, y) = make_model("mlp"), make_points("mlp", 7)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    list(model.grad(x, y))
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
