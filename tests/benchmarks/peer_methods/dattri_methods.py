"""dattri's methods at checkpoints that dvbench wrote: ``python dattri_methods.py FOLDER``, in dattri's environment."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from clock import DAMPING, SETTINGS, Arrays, run
from dattri.algorithm.influence_function import IFAttributorCG, IFAttributorExplicit
from dattri.algorithm.tracin import TracInAttributor
from dattri.task import AttributionTask
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WEIGHTS, BIASES = (np.load(Path(sys.argv[1]) / "checkpoints" / f"{name}.npy") for name in ("weights", "biases"))


def task(first: int) -> AttributionTask:
    model = nn.Linear(WEIGHTS.shape[2], WEIGHTS.shape[1])
    checkpoints = [
        {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        for weight, bias in zip(WEIGHTS[first:], BIASES[first:], strict=True)
    ]

    def loss(parameters, points):
        x, y = points
        logits = torch.func.functional_call(model, parameters, (x,))
        return nn.functional.cross_entropy(logits.reshape(-1, WEIGHTS.shape[1]), y.reshape(-1))

    return AttributionTask(loss_func=loss, model=model, checkpoints=checkpoints)


def loaders(data: Arrays) -> list[DataLoader]:
    """Each set of points in one batch."""
    sets = [TensorDataset(torch.from_numpy(x), torch.from_numpy(y)) for x, y in (data[:2], data[2:4])]
    return [DataLoader(each, batch_size=len(each)) for each in sets]


def trac_in(data: Arrays):
    attributor = TracInAttributor(task(0), torch.full((len(WEIGHTS),), SETTINGS["lr"]), normalized_grad=False)
    attributor.projector_kwargs = None  # no random projection, which the constructor cannot be told
    return attributor.attribute(*loaders(data)).mean(dim=1).numpy(force=True) / len(data.x), 0


def influence(kind, **settings):
    def value(data: Arrays):
        train, validation = loaders(data)
        attributor = kind(task(-1), regularization=DAMPING, **settings)
        attributor.cache(train)
        return attributor.attribute(train, validation).mean(dim=1).numpy(force=True) / len(data.x), 0

    return value


run(
    "dattri",
    {
        "trac_in": ("digits_1000", trac_in),
        "influence": ("digits_1000", influence(IFAttributorExplicit)),
        "influence_cg": ("digits_1000", influence(IFAttributorCG)),
    },
)
