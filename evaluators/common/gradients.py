"""Inner products of gradients."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def inner_product(left: Iterable[torch.Tensor], right: Iterable[torch.Tensor]) -> float:
    """Inner product of two gradients, given as one tensor for each parameter."""
    return sum(float((a * b).sum()) for a, b in zip(left, right, strict=True))
