"""Points whose last-layer gradients are random factors."""

from __future__ import annotations

import numpy as np
import torch

from dvbench.selecting.contract import Look, Points
from dvbench.selecting.gradients import Gradients
from dvbench.settings import SelectionSettings

HOW = SelectionSettings(fractions=(0.5,), batch_size=4, lr=0.1)


def some_points(n: int, classes: int = 3, width: int = 4, seed: int = 0, validation: int = 7, how=HOW) -> Points:
    """Points of a model with random inputs and logits of its last layer; labels go round."""

    def made(n: int, rng: np.random.Generator, validation=None) -> Points:
        labels = torch.arange(n) % classes
        logits = torch.from_numpy(rng.normal(size=(n, classes)))
        inputs = torch.cat(
            [torch.from_numpy(rng.normal(size=(n, width))), torch.ones(n, 1, dtype=torch.float64)], dim=1
        )
        left = logits.softmax(dim=1) - torch.eye(classes, dtype=torch.float64)[labels]
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        return Points(labels, lambda: Look(Gradients(left, inputs), losses, logits), how, validation)

    rng = np.random.default_rng(seed)
    others = made(validation, rng)
    return made(n, rng, lambda: others)


def full_gradients(points: Points) -> np.ndarray:
    """The gradient of each point as a row: (n, C * D)."""
    left, right = points.gradients.left.numpy(), points.gradients.right.numpy()
    return np.einsum("nc,nd->ncd", left, right).reshape(len(left), -1)
