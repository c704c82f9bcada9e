"""Nothing here reads or changes a global random generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_loops import weights_of
from torch import nn
from torch.utils.data import Dataset

from dvbench.training.tensor_model import TensorModel, seeded
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent


class Computed(Dataset):
    """Neither a tensor nor a subset of one, so it is read through a loader."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __len__(self):
        return len(self.tensor)

    def __getitem__(self, i):
        return self.tensor[i]


def dropout_model():
    def build():
        return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 3)).double()

    return TensorModel(seeded(build, 0), "classification", 3, seed=0)


@pytest.mark.parametrize("name", ["logistic_regression", "mlp", "cnn", "dropout"])
def test_results_do_not_depend_on_global_seeds_nor_change_them(name, make_model, make_points, global_states):
    x, y = make_points("mlp" if name == "dropout" else name, 10)
    results = []
    for seed in (1, 2):
        before = global_states(seed)
        model = dropout_model() if name == "dropout" else make_model(name)
        model.clone().fit(x, y, epochs=2, lr=0.01)
        model.fit(Computed(x), Computed(y), batch_size=4, epochs=2, lr=0.01)
        gradients = torch.stack([torch.cat([part.flatten() for part in point]) for point in model.grad(x, y)])
        unlearner = StackedUnlearner(model, x, y, x, y, GradientAscent(steps=3, batch_size=2, lr=0.01))
        results.append(
            [weights_of(model), model.predict(x), gradients, next(unlearner.outputs_without([np.arange(5)], 0))[1]]
        )
        assert global_states() == before
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_the_global_generator_comes_back_when_building_fails(global_states):
    before = global_states(1)

    def fail():
        torch.rand(3)
        raise RuntimeError("too wide")

    with pytest.raises(RuntimeError, match="too wide"):
        seeded(fail, 0)
    assert global_states() == before
