"""How many models train together: what memory allows, and half as many where it runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_loops import by_number
from torch import nn

from dvbench.training.stacks import CPU_BUDGET, copies_within
from dvbench.training.tensor_model import TensorModel

HOW = {"batch_size": 4, "epochs": 3, "lr": 1e-2}
COALITIONS = [np.array(c, dtype=int) for c in ([3], [], range(10), [9, 0, 4, 7, 2], [1, 5], range(1, 10), [8, 8, 2, 8])]


@pytest.mark.parametrize("name", ["logistic_regression", "mlp"])
def test_memory_bounds_how_many_move_together(name, make_model, make_points):
    model, (x, y) = make_model(name), make_points(name, 10)
    parameters = sum(p.numel() for p in model.parameters())
    counts = [copies_within(budget, model.network, x, 4) for budget in (1, 200_000, 2_000_000)]
    assert counts[0] == 1 < counts[1] < counts[2]
    assert all(
        count * 4 * parameters * 8 <= budget for count, budget in zip(counts[1:], (200_000, 2_000_000), strict=True)
    )
    assert copies_within(None, model.network, x, 4) == copies_within(CPU_BUDGET, model.network, x, 4)
    sizes = [len(numbers) for numbers, _ in model.fit_many(x, y, [np.arange(9)] * 200, budget=200_000, **HOW)]
    assert max(sizes) == model.at_once(x, budget=200_000, **HOW) < 200 == sum(sizes)


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_half_as_many_are_trained_together_when_memory_runs_out(room, make_model, make_points, monkeypatch):
    """Every coalition is trained once, and by as many fits."""
    model, (x, y) = make_model("mlp"), make_points("mlp", 10)
    expected = by_number(model.fit_many(x, y, COALITIONS, budget=2**40, **HOW))
    fitted, train = model.fits.count, TensorModel._train

    def run_out(self, copies, *args, **kwargs):
        if copies.copies > room:
            raise torch.OutOfMemoryError
        train(self, copies, *args, **kwargs)

    monkeypatch.setattr(TensorModel, "_train", run_out)
    if not room:
        with pytest.raises(torch.OutOfMemoryError):
            list(model.fit_many(x, y, COALITIONS, budget=2**40, **HOW))
        return
    groups = list(model.fit_many(x, y, COALITIONS, budget=2**40, **HOW))
    assert model.fits.count - fitted == len(COALITIONS)
    assert max(len(numbers) for numbers, models in groups) <= room or not len(COALITIONS[groups[-1][0][0]])
    actual = by_number(groups)
    assert sorted(actual) == sorted(expected)
    for number in expected:
        torch.testing.assert_close(actual[number].parameters, expected[number].parameters, rtol=1e-9, atol=1e-9)


def test_asking_how_much_memory_leaves_every_layers_mode():
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    network[1].eval()
    copies_within(None, network, torch.zeros(3, 4), 2)
    assert [module.training for module in network] == [True, False, True]
