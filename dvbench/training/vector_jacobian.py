"""Vector-Jacobian products without torch's compiler.

`torch.autograd.grad` with ``grad_outputs``, and `torch.func.grad`, import parts of torch's compiler when they are first
called: two to four seconds of processor time in every worker process, more than most valuations of few points take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def vector_jacobian(
    outputs: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Gradients of ``sum_i <outputs_i, weights_i>``, with the weights as constants or, in its graph, as variables.

    Parameters
    ----------
    outputs, weights : sequence of torch.Tensor
        As many weights as outputs, of the same shapes.
    inputs : sequence of torch.Tensor
        With respect to which the gradients are; zeros for those on which no output depends.
    retain_graph, create_graph : bool, optional
        As for `torch.autograd.grad`.

    Returns
    -------
    tuple of torch.Tensor
        One of the shape of each input.

    Raises
    ------
    ValueError
        If an output and its weights differ in shape.
    """
    for output, weight in zip(outputs, weights, strict=True):
        if output.shape != weight.shape:
            raise ValueError(f"an output has shape {tuple(output.shape)} and its weights {tuple(weight.shape)}")
    with torch.enable_grad():
        product = _Product.apply(len(outputs), *outputs, *weights)
    return torch.autograd.grad(
        product, list(inputs), retain_graph=retain_graph, create_graph=create_graph, materialize_grads=True
    )


class _Product(torch.autograd.Function):
    """A scalar whose gradient is that of the sum of products; its own value, which nobody needs, is 0."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(*tensors[count:])
        return tensors[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, factor: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weights = ctx.saved_tensors  # the factor is 1, because this scalar is what is differentiated
        return None, *weights, *[None] * len(weights)
