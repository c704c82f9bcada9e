"""Networks with unusual modules: trained together with the results of training one by one, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from opendataval.metrics import accuracy
from plain_loops import by_number
from torch import nn

from dvbench.errors import UserError
from dvbench.training.tensor_model import TensorModel, seeded
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

HOW = {"batch_size": 4, "epochs": 3, "lr": 1e-2}
ASCENT = GradientAscent(steps=4, batch_size=5, lr=0.01, weight_decay=0.3, lambda1=0.4, lambda2=0.7)


class Embedded(nn.Module):
    """Takes whole numbers."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(20, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.table(x).mean(dim=-2))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_models_of_whole_numbers_learn(dtype):
    x = torch.randint(0, 20, (60, 4), generator=torch.Generator().manual_seed(0)).to(dtype)
    y = F.one_hot(x[:, 0].long() % 3, 3).double()
    network = seeded(lambda: nn.Sequential(Embedded()), 0)
    network[0].register_forward_pre_hook(lambda _, inputs: (inputs[0].long(),))
    model = TensorModel(network, "classification", 3, seed=1)
    how = {"epochs": 60, "lr": 0.02, "batch_size": 8}
    alone = model.clone().fit(x, y, **how)
    assert accuracy(y, alone.predict(x)) > 0.7
    for _, models in model.fit_many(x, y, [np.arange(60)] * 2, **how):
        torch.testing.assert_close(models.all_outputs(x)[0].T.softmax(dim=1), alone.predict(x), rtol=1e-3, atol=1e-4)


class Centred(nn.Module):
    """Its points act on each other, without a buffer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x - x.mean(dim=0))


class Replacing(nn.Module):
    """Puts a new buffer in the place of the old one."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("middle", torch.zeros(4))

    def forward(self, x):
        if self.training:
            self.middle = 0.5 * self.middle + 0.5 * x.detach().mean(dim=0)
        return self.layer(x - self.middle)


class Tempered(nn.Module):
    """Has a parameter that is a single number."""

    def __init__(self):
        super().__init__()
        self.layer, self.temperature = nn.Linear(4, 3), nn.Parameter(torch.tensor(1.3))

    def forward(self, x):
        return self.layer(x * self.temperature)


@pytest.mark.parametrize("make", [Centred, Replacing, Tempered])
def test_odd_modules_train_together_as_alone(make, make_points):
    x, y = make_points("mlp", 11)
    model = TensorModel(seeded(make, 0).double(), "classification", 3, seed=3)
    coalitions = [np.arange(11), np.arange(10), np.arange(4, 9)]
    actual = by_number(model.fit_many(x, y, coalitions, **HOW))
    for number, coalition in enumerate(coalitions):
        alone = model.clone().fit(x[coalition], y[coalition], **HOW)
        torch.testing.assert_close(actual[number].all_outputs(x)[0].T.softmax(dim=1), alone.predict(x))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(x).tanh())


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(4, 3), nn.Parameter(torch.full((3,), 1.5))

    def forward(self, x):
        return self.layer(x) * self.scale


@pytest.mark.parametrize("parameters", ["all", "head"])
@pytest.mark.parametrize("make", [Recurrent, Scaled])
def test_networks_whose_outputs_are_not_those_of_one_linear_layer_are_not_unlearned(make, parameters, make_points):
    x, y = make_points("mlp", 11)
    model = TensorModel(seeded(make, 0).double(), "classification", 3, seed=3)
    with pytest.raises(UserError, match="one linear layer"):
        StackedUnlearner(model, x, y, x, y, replace(ASCENT, parameters=parameters))


class Backwards(nn.Module):
    """Its head is or is not defined before its body."""

    def __init__(self, head_first):
        super().__init__()
        for name in ("head", "body") if head_first else ("body", "head"):
            setattr(self, name, nn.Linear(4, 3 if name == "head" else 4))

    def forward(self, x):
        return self.head(self.body(x).tanh())


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_unlearning_does_not_depend_on_the_order_of_definition(parameters, make_points):
    x, y = make_points("mlp", 11)
    weights, outputs = seeded(lambda: Backwards(False), 0).state_dict(), []
    for head_first in (False, True):
        network = Backwards(head_first)
        network.load_state_dict(weights)
        model = TensorModel(network.double(), "classification", 3, seed=3)
        unlearner = StackedUnlearner(model, x, y, x, y, replace(ASCENT, parameters=parameters))
        ((_, logits),) = unlearner.outputs_without([np.arange(4)], 0)
        outputs.append(logits)
    torch.testing.assert_close(*outputs)
    assert not torch.allclose(outputs[0][0], unlearner.outputs_full)


class Autoencoding(nn.Module):
    """The output layer has the weights of the first."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.bias = nn.Linear(4, 3), nn.Linear(3, 4), nn.Linear(4, 3)
        self.bias.weight = self.first.weight

    def forward(self, x):
        return self.bias(self.second(self.first(x)))


def test_an_output_layer_with_tied_weights_is_not_unlearned_alone(make_points):
    x, y = make_points("mlp", 11)
    model = TensorModel(seeded(Autoencoding, 0).double(), "classification", 3, seed=3)
    with pytest.raises(UserError, match="tied weights"):
        StackedUnlearner(model, x, y, x, y, replace(ASCENT, parameters="head"))
    ((_, logits),) = StackedUnlearner(model, x, y, x, y, ASCENT).outputs_without([np.arange(4)], 0)
    assert logits.isfinite().all()
