"""What is checked when a model is built: networks that do not fit the data are refused in one line."""

from __future__ import annotations

import copy
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.settings import ModelSettings
from dvbench.training.build import build_model, check_model

SHAPE, OUTPUTS = (4,), 3
EXPECTED = r"it must map points of shape \(n, 4\) to logits of shape \(n, 3\)$"


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.layer(a + b)


class Pair(nn.Linear):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        return super().forward(x), x


class Restless(nn.Module):
    """Counts its passes in a buffer, normalises over the minibatch and draws random numbers, in every mode."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise, self.layer = nn.BatchNorm1d(4), nn.Linear(4, 3)
        self.register_buffer("passes", torch.zeros(()))
        self.list: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        self.list.append(len(x))
        return self.layer(self.normalise(x) + torch.randn(()))


BUILDERS = {
    "two_inputs": lambda shape, outputs: TwoInputs(),
    "pair": lambda shape, outputs: Pair(4, 3),
    "no_network": lambda shape, outputs: "a network",
    "no_parameters": lambda shape, outputs: nn.ReLU(),
    "other_outputs": lambda shape, outputs: nn.Linear(4, outputs + 1),
    "other_inputs": lambda shape, outputs: nn.Linear(5, outputs),
    "one_argument": lambda shape: nn.Linear(4, 3),
    "another_argument": lambda shape, outputs, width: nn.Linear(4, 3),
    "broken": lambda shape, outputs: {}["no\nkey"],
    "restless": lambda shape, outputs: Restless(),
    "fine": lambda shape, outputs: nn.Linear(4, outputs),
}


@pytest.fixture(autouse=True)
def _third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("third_party_models")
    vars(module).update(BUILDERS)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def settings(name: str, **params: object) -> ModelSettings:
    return ModelSettings(name=f"third_party_models:{name}", params=params)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two_inputs", r"its network fails on two points: .*missing 1 required positional argument: 'b'; " + EXPECTED),
        ("pair", "its network returns a tuple; " + EXPECTED),
        ("no_network", "must be a function that returns a torch network with parameters$"),
        ("no_parameters", "must be a function that returns a torch network with parameters$"),
        ("other_outputs", r"its network maps two points to shape \(2, 4\); " + EXPECTED),
        ("other_inputs", "its network fails on two points: .*shapes cannot be multiplied.*; " + EXPECTED),
        ("one_argument", "takes 1 positional argument but 2 were given; see 'dvbench describe "),
        ("another_argument", "missing 1 required positional argument: 'width'; see 'dvbench describe "),
        ("broken", "no.*key'; see 'dvbench describe "),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name: str, message: str) -> None:
    for check in (
        lambda: build_model(settings(name), SHAPE, OUTPUTS, "classification", seed=0),
        lambda: check_model(settings(name), SHAPE, OUTPUTS, "classification"),
    ):
        with pytest.raises(UserError, match=f"^model 'third_party_models:{name}'.*{message}") as error:
            check()
        assert "\n" not in str(error.value)


def test_a_parameter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="unexpected keyword argument 'depth'; see 'dvbench describe"):
        check_model(settings("fine", depth=3), SHAPE, OUTPUTS, "classification")


def test_what_fits_is_accepted() -> None:
    check_model(settings("fine"), SHAPE, OUTPUTS, "classification")
    check_model(ModelSettings(name="cnn"), (1, 8, 8), 1, "regression")
    check_model(ModelSettings(name="resnet18"), (3, 9, 9), 2, "classification")


def test_images_are_checked_too() -> None:
    with pytest.raises(UserError, match="model 'cnn' needs images"):
        check_model(ModelSettings(name="cnn"), SHAPE, OUTPUTS, "classification")


def test_language_models_are_checked_without_memory() -> None:
    check_model(ModelSettings(name="gpt2_xl"), (128,), 50257, "language")
    with pytest.raises(UserError, match="model 'mlp' needs points, but the data are texts"):
        check_model(ModelSettings(name="mlp"), (128,), 100, "language")
    with pytest.raises(UserError, match="model 'gpt2_tiny' needs texts, but the data are points"):
        check_model(ModelSettings(name="gpt2_tiny"), (4,), 3, "classification")


def test_checks_change_neither_the_network_nor_random_generators(global_states) -> None:
    before = global_states(5)
    model = build_model(settings("restless"), SHAPE, OUTPUTS, "classification", seed=3)
    check_model(settings("restless"), SHAPE, OUTPUTS, "classification")
    assert global_states() == before
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        unchecked = Restless()
    assert model.network.training
    assert model.network.list == []
    for name, tensor in unchecked.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor), name


def test_training_does_not_depend_on_the_check() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    y = torch.eye(3)[torch.arange(8) % 3]
    model = build_model(settings("restless"), SHAPE, OUTPUTS, "classification", seed=3)
    unchecked = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        unchecked.network = Restless()
    for each in (model, unchecked):
        each.fit(x, y, batch_size=4, epochs=2, lr=0.01)
    assert torch.equal(model.network.layer.weight, unchecked.network.layer.weight)
