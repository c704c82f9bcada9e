"""Logistic regression, or linear regression for real targets."""

from __future__ import annotations

import math

from torch import nn


def logistic_regression(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Logistic regression: one linear layer on the flattened features. For real targets it is linear regression.

    Parameters
    ----------
    shape : tuple of int
        Shape of one point's features.
    outputs : int
        Number of classes, or 1.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to logits (n, outputs).
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs))
