"""What a model shows of points, by each of the settings, against autograd and plain forward passes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.selecting.contract import SelectionStrategy
from dvbench.selecting.looking import look
from dvbench.selection.trac_in import TracIn
from dvbench.settings import SelectionSettings
from dvbench.training.tensor_model import seeded

HOW = SelectionSettings(fractions=(0.5,), batch_size=5)


def network(bias: bool = True) -> nn.Module:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 3, bias=bias)
        )

    made = seeded(build, 0).double()
    made.train()(torch.rand(50, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    return made


def images(n: int = 13) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(np.random.default_rng(0).random((n, 1, 8, 8)))
    return x, torch.eye(3, dtype=torch.float64)[torch.arange(n) % 3]


def seen(strategy: SelectionStrategy, model: nn.Module, how: SelectionSettings = HOW, seed: int = 0):
    return look(model, *images(), strategy, how, seed)


def test_gradients_are_those_of_autograd() -> None:
    model, (x, y) = network(), images()
    shown = seen(TracIn(batch_norm="evaluation"), model)
    plain = copy.deepcopy(model).eval()
    for i in range(len(x)):
        loss = nn.functional.cross_entropy(plain(x[i : i + 1]), y[i : i + 1])
        weight, bias = torch.autograd.grad(loss, list(plain[-1].parameters()))
        expected = torch.cat([weight, bias[:, None]], dim=1)
        torch.testing.assert_close(torch.outer(shown.gradients.left[i], shown.gradients.right[i]), expected)
        assert float(shown.losses[i]) == pytest.approx(loss.item())


def test_of_the_bias_alone() -> None:
    shown = seen(TracIn(batch_norm="evaluation", layer="bias"), network())
    full = seen(TracIn(batch_norm="evaluation"), network())
    assert (shown.gradients.right == 1).all()
    assert shown.gradients.right.shape == (13, 1)
    assert torch.equal(shown.gradients.left, full.gradients.left)
    without = seen(TracIn(batch_norm="evaluation"), network(bias=False))
    assert without.gradients.right.shape == (13, 72)
    with pytest.raises(UserError, match=r"^the last layer of this model has no bias: use layer = 'full'$"):
        seen(TracIn(layer="bias"), network(bias=False))


@pytest.mark.parametrize("per_class", [False, True])
def test_batch_normalisation_by_the_statistics_of_each_batch(per_class: bool) -> None:
    """Of the points of one class where points are chosen class by class."""
    model, (x, y) = network(), images()
    before = copy.deepcopy(model.state_dict())
    shown = seen(TracIn(per_class=per_class, batch_norm="training"), model)
    plain = copy.deepcopy(model)
    plain[3].eval()  # dropout is off
    rows = torch.arange(len(x))
    labels = y.argmax(dim=1)
    groups = [rows[labels == label] for label in range(3)] if per_class else [rows]
    for batch in (batch for group in groups for batch in group.split(5)):
        torch.testing.assert_close(shown.logits[batch], plain(x[batch]))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])  # running statistics too
    assert model.training
    other = seen(TracIn(batch_norm="evaluation"), model)
    assert not torch.allclose(other.logits, shown.logits)


def test_a_batch_of_one_point_has_no_statistics_of_its_own() -> None:
    shown = look(network(), *images(11), TracIn(per_class=False, batch_norm="training"), HOW, 0)
    assert shown.logits.isfinite().all()


def test_augmented_and_plain_passes() -> None:
    model, crops = network(), HOW.model_copy(update={"augmentation": "crop_and_flip"})
    one, other, third = (
        seen(TracIn(batch_norm="evaluation", augmented=augmented), model, crops, seed)
        for augmented, seed in ((True, 0), (True, 1), (False, 0))
    )
    plain = seen(TracIn(batch_norm="evaluation"), model)
    assert torch.equal(third.logits, plain.logits)
    assert not torch.equal(one.logits, plain.logits)
    assert not torch.equal(one.logits, other.logits)
    assert torch.equal(one.logits, seen(TracIn(batch_norm="evaluation"), model, crops, 0).logits)
