"""Steps that are recorded and replayed against the same steps taken one by one.

A `Tape` stands in for a CUDA graph: it records torch's operations with the memory that they read and write, and a
replay runs these operations, and nothing of Python, on this memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from dvbench.training.repeated_steps import MOST_KINDS, RepeatedSteps, recorder
from dvbench.unlearning.contract import UnlearningMethod, ascend, descend
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.random_labels import RandomLabels
from dvbench.unlearning_methods.scrub import Scrub

COALITIONS = [np.array(c) for c in ([3], range(10), [9, 0, 4, 7, 2], [1, 5], range(1, 10))]


def tensors_in(tree):
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class Tape(TorchDispatchMode):
    """Records operations; its record is taken by running the step once, so its first replay does nothing."""

    def __init__(self):
        super().__init__()
        self.operations, self.replays = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result

    def replay(self):
        self.replays += 1
        with torch._C._AutoDispatchBelowAutograd():
            for function, args, kwargs, results in self.operations if self.replays > 1 else ():
                read = {each.untyped_storage().data_ptr() for each in tensors_in((args, kwargs))}
                for old, new in zip(tensors_in(results), tensors_in(function(*args, **kwargs)), strict=True):
                    if old.untyped_storage().data_ptr() not in read:  # neither a view nor changed in place
                        old.copy_(new)


@pytest.fixture
def tapes(monkeypatch):
    """Everything that can be repeated is recorded on these tapes."""
    made = []

    def record(step):
        with Tape() as tape:
            step()
        made.append(tape)
        return tape.replay

    for module in ("unlearning.stacked_engine", "training.tensor_model"):
        monkeypatch.setattr(f"dvbench.{module}.recorder", lambda network: record)
    return made


@dataclass(frozen=True)
class NewRules(UnlearningMethod):
    """Makes new rules for every step, which are not the same."""

    def rules(self, step):
        return lambda logits, batch: ascend(logits, batch) * step, descend


ASCENT = GradientAscent(steps=7, batch_size=5, lr=0.01, lambda1=0.4, lambda2=0.7)
FEW = {"steps": 7, "batch_size": 5, "lr": 0.01}


@pytest.mark.parametrize(
    ("name", "method", "kinds"),
    [
        ("logistic_regression", ASCENT, 4),
        ("mlp", ASCENT, 4),
        ("mlp", replace(ASCENT, parameters="head"), 4),
        ("mlp", RandomLabels(**FEW), 2),
        ("mlp", Scrub(**FEW), 4),
        ("mlp", NewRules(**FEW), 0),
        ("cnn", ASCENT, 2),
        ("hidden", ASCENT, 4),
    ],
)
def test_replayed_steps_unlearn_the_same(name, method, kinds, tapes, make_model, make_points, monkeypatch):
    """Of three permutations with other seeds, in stacks of two sizes, so every kind of step is replayed."""
    plain = "mlp" if name == "hidden" else name
    network, (x, y) = make_model(plain).network, make_points(plain, 10)
    network = nn.Sequential(network, nn.Identity()) if name == "hidden" else network
    unlearners = []
    for recorded in (True, False):
        if not recorded:
            monkeypatch.setattr("dvbench.unlearning.stacked_engine.recorder", lambda network: None)
        unlearner = StackedUnlearner(network, x, y, x[:7], y[:7], method, budget=2**40)
        unlearner.at_once = min(unlearner.at_once, 3)
        unlearners.append([logits for seed in (0, 1, 2) for _, logits in unlearner.outputs_without(COALITIONS, seed)])
    for recorded, taken in zip(*unlearners, strict=True):
        torch.testing.assert_close(recorded, taken, rtol=0, atol=0)
    assert len(tapes) == kinds
    assert all(tape.replays > 1 for tape in tapes)


def one_by_one(model, x, y, **how):
    return [models.parameters for each in COALITIONS for _, models in model.fit_many(x, y, [each], **how)]


@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
def test_replayed_steps_train_the_same(name, tapes, make_model, make_points, monkeypatch):
    """The last minibatch of an epoch is short, so there are two kinds of steps, of three of the five coalitions."""
    model, (x, y) = make_model(name), make_points(name, 10)
    how = {"batch_size": 4, "epochs": 6, "lr": 0.01}
    trained = []
    for recorded in (True, False):
        if not recorded:
            monkeypatch.setattr("dvbench.training.tensor_model.recorder", lambda network: None)
        trained.append(one_by_one(model, x, y, **how))
    for replayed, taken in zip(*trained, strict=True):
        torch.testing.assert_close(replayed, taken, rtol=0, atol=0)
    assert len(tapes) == 3 * 2 + 2
    assert all(tape.replays > 3 for tape in tapes)


def test_training_of_many_copies_is_not_recorded(tapes, make_model, make_points):
    """Their minibatches have many shapes."""
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    assert len(list(model.fit_many(x, y, COALITIONS, batch_size=4, epochs=6, lr=0.01))) == 1
    assert not tapes


def test_training_that_shows_its_gradients_is_not_recorded(tapes, make_model, make_points):
    x, y = make_points("mlp", 10)
    shown = []
    make_model("mlp").fit(x, y, batch_size=5, epochs=4, on_gradient=lambda rows, models: shown.append(rows))
    assert len(shown) == 8
    assert not tapes


def test_a_step_that_cannot_be_recorded_is_taken():
    def record(step):
        raise RuntimeError("operation not permitted when stream is capturing")

    total, steps = torch.zeros(2), RepeatedSteps(record)
    for number in range(4):
        steps.take("add", total.add_, torch.full((2,), float(number)))
    assert total.tolist() == [6.0, 6.0]


def test_only_so_many_kinds_are_remembered():
    total, recorded = torch.zeros(1), []

    def record(step):
        recorded.append(step)
        return step

    steps = RepeatedSteps(record)
    for kind in (*range(3 * MOST_KINDS), *range(3 * MOST_KINDS)):
        steps.take(kind, total.add_, torch.ones(1))
    assert total.item() == 6 * MOST_KINDS
    assert len(recorded) == MOST_KINDS


class Own(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize(("layer", "recorded"), [(nn.Tanh(), True), (Own(), False)])
def test_layers_of_others_are_not_recorded(layer, recorded):
    """They may compute in Python what changes from step to step."""
    assert (recorder(nn.Sequential(nn.Linear(2, 2), layer).cuda()) is not None) == recorded


def test_nothing_is_recorded_on_a_cpu():
    assert recorder(nn.Linear(2, 2)) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_gpu_unlearns_the_same_with_recorded_steps(name, make_model, make_points, monkeypatch):
    model, (x, y) = make_model(name).float().cuda(), (tensor.float() for tensor in make_points(name, 10))
    results = []
    for recorded in (True, False):
        if not recorded:
            monkeypatch.setattr("dvbench.unlearning.stacked_engine.recorder", lambda network: None)
        unlearner = StackedUnlearner(model, x, y, x, y, ASCENT)
        results.append([logits for seed in (0, 1) for _, logits in unlearner.outputs_without(COALITIONS, seed)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn"])
def test_a_gpu_trains_the_same_with_recorded_steps(name, make_model, make_points, monkeypatch):
    model, (x, y) = make_model(name).float().cuda(), (tensor.float() for tensor in make_points(name, 10))
    x, y, how = x.cuda(), y.cuda(), {"batch_size": 4, "epochs": 6, "lr": 0.01}
    recorded = one_by_one(model, x, y, **how)
    monkeypatch.setattr("dvbench.training.tensor_model.recorder", lambda network: None)
    torch.testing.assert_close(recorded, one_by_one(model, x, y, **how))
