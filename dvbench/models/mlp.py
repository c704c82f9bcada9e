"""Multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(shape: tuple[int, ...], outputs: int, hidden: Sequence[int] = (512,)) -> nn.Module:
    """Multilayer perceptron with ReLU; the default has one hidden layer of 512, as in the Unlearning Shapley paper.

    Parameters
    ----------
    shape : tuple of int
        Shape of one point's features.
    outputs : int
        Number of classes, or 1.
    hidden : sequence of int
        Width of each hidden layer.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to logits (n, outputs).
    """
    widths = [math.prod(shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for width, next_width in pairwise(widths):
        layers += [nn.Linear(width, next_width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
