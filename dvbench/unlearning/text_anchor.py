"""Holds a language model that unlearns near the full model: the gradient of the squared distance of their parameters.

A model has hundreds of parameters, and starting one kernel for each of them would take a GPU longer than the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

AT_A_TIME = 16  # parameters whose differences exist together


def add_distance(parameters: Sequence[nn.Parameter], origins: Sequence[torch.Tensor], weight: float) -> None:
    """Add the gradient of ``weight * |parameters - origins|^2`` to the gradients of the parameters."""
    for start in range(0, len(parameters), AT_A_TIME):
        some = slice(start, start + AT_A_TIME)
        differences = torch._foreach_sub([each.detach() for each in parameters[some]], list(origins[some]))
        torch._foreach_add_(gradients(parameters[some]), differences, alpha=2 * weight)


def adapters_distance(network: nn.Module) -> Callable[[float], None]:
    """Return a function that does the same for what low-rank adapters add to the weights, ``s B A`` in each layer.

    ``|s B A|^2 = s^2 tr(B^T B A A^T)``, whose gradient is ``2 s^2 B A A^T`` for B, and ``2 s^2 B^T B A`` for A. Layers
    of one shape are computed together.
    """
    groups: dict[tuple[object, ...], list[tuple[nn.Parameter, nn.Parameter]]] = {}
    adapted: list[Any] = [module for module in network.modules() if hasattr(module, "lora_A")]
    for layer in adapted:
        for name, down in layer.lora_A.items():
            a, b = down.weight, layer.lora_B[name].weight
            groups.setdefault((layer.scaling[name], a.shape, b.shape), []).append((a, b))
    return partial(_add_adapters_distance, groups)


@torch.no_grad()
def _add_adapters_distance(
    groups: dict[tuple[Any, ...], list[tuple[nn.Parameter, nn.Parameter]]], weight: float
) -> None:
    for (scale, *_), pairs in groups.items():
        inner, outer = zip(*pairs, strict=True)
        a, b = torch.stack(inner), torch.stack(outer)
        for parameters, slopes in ((inner, b.mT @ b @ a), (outer, b @ (a @ a.mT))):
            torch._foreach_add_(gradients(parameters), list(slopes), alpha=2 * scale**2 * weight)


def gradients(parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
    """Gradients of parameters, zero where there was none yet."""
    for each in parameters:
        if each.grad is None:
            each.grad = torch.zeros_like(each)
    return [each.grad for each in parameters if each.grad is not None]
