"""Multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(shape: tuple[int, ...], outputs: int, hidden: Sequence[int] = (512,)) -> nn.Module:
    """Multilayer perceptron with ReLU; the default is the Unlearning Shapley paper's 784-512-10 on Fashion-MNIST.

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
        (n, *shape) to (n, outputs) logits.
    """
    widths = [math.prod(shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
