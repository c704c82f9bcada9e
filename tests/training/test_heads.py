"""The output layer is the one that makes the output, in our models, OpenDataVal's and unusual ones."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from opendataval.model.logistic_regression import LogisticRegression
from opendataval.model.mlp import ClassifierMLP
from torch import nn

from dvbench.errors import UserError
from dvbench.training import heads
from dvbench.training.heads import (
    all_features_and_logits,
    features_and_logits,
    logits_network,
    output_layer,
    require_own_weights,
)
from dvbench.training.tensor_model import TensorModel

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
    torch.testing.assert_close(output_layer(model, X)(features), logits)


@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
def test_logits_are_the_output_of_our_models(name, make_model, make_points):
    model, (x, _) = make_model(name), make_points(name, 5)
    assert torch.equal(features_and_logits(model.eval(), x)[1], model(x))


def test_gradients_flow_through_logits():
    model = nn.Linear(4, 3)
    features_and_logits(model, X)[1].sum().backward()
    torch.testing.assert_close(model.weight.grad, X.sum(0).expand(3, 4))


class Ordered(nn.Module):
    """Two layers, of which either is defined first, and functions that come before and after the second."""

    def __init__(self, head_first, hidden=torch.tanh, end=lambda logits: logits, bias=True):
        super().__init__()
        for name in ("head", "body") if head_first else ("body", "head"):
            setattr(self, name, nn.Linear(4, 4) if name == "body" else nn.Linear(4, 3, bias=bias))
        self.hidden, self.end = hidden, end

    def forward(self, x):
        return self.end(self.head(self.hidden(self.body(x))))


@pytest.mark.parametrize("end", [lambda logits: logits, nn.Softmax(1), nn.Sigmoid(), nn.LogSoftmax(1), nn.Flatten()])
@pytest.mark.parametrize("head_first", [False, True])
def test_the_output_layer_makes_the_output_whatever_is_defined_first(head_first, end):
    model = Ordered(head_first, end=end)
    assert output_layer(model, X) is model.head
    features, logits = features_and_logits(model, X)
    torch.testing.assert_close(end(logits), model(X))
    torch.testing.assert_close(logits_network(model, X)(X), logits)
    torch.testing.assert_close(features, model.body(X).tanh())


class Auxiliary(Ordered):
    """Calls another layer after its output layer, and gives the points by name."""

    def __init__(self):
        super().__init__(True)
        self.unused = nn.Linear(4, 3)

    def forward(self, x):
        hidden = self.body(input=x)
        outputs = self.head(input=hidden)
        self.unused(hidden)
        return outputs


def test_a_layer_that_is_called_last_need_not_make_the_output():
    model = Auxiliary()
    assert output_layer(model, X) is model.head
    assert torch.equal(features_and_logits(model, X)[0], model.body(X))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(x).tanh())


def positive(logits):
    """ReLU, after logits that are all positive."""
    return (logits - logits.min().detach() + 1).relu()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 1), nn.Flatten()), "not those of a linear layer"),
        (Ordered(True, end=lambda logits: 1.5 * logits), "not those of a linear layer"),
        (Ordered(True, end=nn.ReLU()), "not those of a linear layer"),
        (nn.Sequential(Ordered(True, end=positive), nn.ReLU()), "not those of a linear layer"),
        (TensorModel(Ordered(True, end=nn.Softmax(1)), "classification", 3, 0), "not those of a linear layer"),
        (nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), "not those of a linear layer"),
        (Twice(), "calls its output layer more than once"),
        (Ordered(False, end=lambda logits: (logits, logits)), "Ordered returns a tuple; it must return one tensor"),
        (
            Ordered(False, end=lambda logits: logits.mean(dim=1)),
            r"maps 7 points to shape \(7,\); it must be \(7, outputs",
        ),
        (Ordered(False, end=lambda logits: logits.mean(dim=0, keepdim=True)), r"maps 7 points to shape \(1, 3\)"),
        (Ordered(False, hidden=torch.nn.functional.dropout), "other outputs for the same points each time"),
    ],
)
def test_a_network_whose_outputs_are_not_those_of_one_linear_layer_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        output_layer(model, X)
    assert not any(module._forward_hooks for module in model.modules())


def test_finding_the_output_layer_changes_nothing():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    model[0].eval()
    drawing = Ordered(True, hidden=lambda x: x + 0 * torch.rand(1))
    before = {name: number.clone() for name, number in model.state_dict().items()}
    state = torch.get_rng_state()
    assert output_layer(model, X) is model[2]
    output_layer(drawing, X)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model] == [False, True, True]
    assert all(torch.equal(number, before[name]) for name, number in model.state_dict().items())


class Tied(nn.Module):
    def __init__(self, tie):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        if tie == "module":
            self.head.weight = self.body.weight
        self.tie = tie

    def forward(self, x):
        hidden = self.body(x)
        return self.head((hidden @ self.head.weight if self.tie == "function" else hidden).tanh())


def test_tied_weights_of_the_output_layer_are_seen():
    for tie in ("module", "function"):
        model = Tied(tie)
        with pytest.raises(UserError, match="tied weights"):
            require_own_weights(model, output_layer(model, X), X)
    model = Tied(None)
    require_own_weights(model, output_layer(model, X), X)


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
    monkeypatch.setattr(heads, "TRACED", 2)
    chunked = all_features_and_logits(model, x)
    assert sizes == [2, 2, 3, 3, 1]  # twice to find the output layer
    torch.testing.assert_close(chunked, (features, logits))
    assert not chunked[1].requires_grad


def test_many_points_are_run_in_evaluation_mode():
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 3)).train()
    assert torch.equal(all_features_and_logits(model, X)[0], X)
