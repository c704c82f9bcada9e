"""Small points and networks in float64, for evaluators that follow one training."""

from __future__ import annotations

import torch
from torch import nn

from dvbench.training.tensor_model import TensorModel, seeded

NETWORKS = {
    "logistic regression": lambda outputs: nn.Linear(5, outputs),
    "chain": lambda outputs: nn.Sequential(
        nn.Flatten(), nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, outputs)
    ),
    "other layers": lambda outputs: nn.Sequential(
        nn.Linear(5, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, outputs, bias=False)
    ),
}


def points(
    outputs: int, n: int = 12, shape: tuple[int, ...] = (5,), seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and targets; one output means regression."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    if outputs == 1:
        return x, torch.randn(n, 1, generator=generator, dtype=torch.float64)
    labels = torch.randint(outputs, (n,), generator=generator)
    return x, torch.nn.functional.one_hot(labels, outputs).double()


def make(network: str, outputs: int = 3) -> TensorModel:
    """A model that is not trained."""
    built = seeded(lambda: NETWORKS[network](outputs), 0).double()
    return TensorModel(built, "classification" if outputs > 1 else "regression", outputs, seed=1)
