"""Features and logits read from the last linear layer, of our models and of OpenDataVal's."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from opendataval.model.logistic_regression import LogisticRegression
from opendataval.model.mlp import ClassifierMLP
from torch import nn

from dvbench.training import heads
from dvbench.training.heads import all_features_and_logits, features_and_logits, last_linear

X = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))


def test_logits_enter_the_sigmoid_of_opendatavals_logistic_regression():
    model = LogisticRegression(4, 3)
    features, logits = features_and_logits(model, X)
    assert torch.equal(features, X)
    torch.testing.assert_close(logits.sigmoid(), model(X))


def test_logits_enter_the_softmax_of_opendatavals_mlp():
    model = ClassifierMLP(4, 3, layers=3, hidden_dim=5)
    features, logits = features_and_logits(model, X)
    assert features.shape == (7, 5)
    torch.testing.assert_close(logits.softmax(1), model(X))
    torch.testing.assert_close(last_linear(model)(features), logits)


@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
def test_logits_are_the_output_of_our_models(name, make_model, make_points):
    model, (x, _) = make_model(name), make_points(name, 5)
    assert torch.equal(features_and_logits(model, x)[1], model(x))


def test_gradients_flow_through_logits():
    model = nn.Linear(4, 3)
    features_and_logits(model, X)[1].sum().backward()
    torch.testing.assert_close(model.weight.grad, X.sum(0).expand(3, 4))


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(ValueError, match="Sequential has no linear layer"):
        last_linear(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten()))


def test_no_hook_stays_behind_even_if_the_network_fails():
    model = nn.Sequential(OrderedDict(fine=nn.Linear(4, 3), misfit=nn.Linear(2, 2)))
    with pytest.raises(RuntimeError):
        features_and_logits(model, X)
    assert not any(module._forward_hooks for module in model.modules())


def test_many_points_are_run_in_chunks_and_stay_in_order(monkeypatch, make_model, make_points):
    model, (x, _) = make_model("mlp"), make_points("mlp", 7)
    features, logits = features_and_logits(model, x)
    sizes = []
    model.register_forward_hook(lambda _, inputs, output: sizes.append(len(output)))
    monkeypatch.setattr(heads, "CHUNK", 3)
    chunked = all_features_and_logits(model, x)
    assert sizes == [3, 3, 1]
    torch.testing.assert_close(chunked, (features, logits))
    assert not chunked[1].requires_grad


def test_many_points_are_run_in_evaluation_mode():
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 3)).train()
    assert torch.equal(all_features_and_logits(model, X)[0], X)
