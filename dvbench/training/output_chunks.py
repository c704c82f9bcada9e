"""Sends gradients through the output layer of a language model for some tokens at a time.

Logits of all tokens of a minibatch take more memory than the rest of a network. Here they exist for one chunk of
tokens: a rule turns them into a loss and its gradient, this gradient is sent through the output layer, and the chunk's
logits are freed before those of the next one are computed. Fused losses of other libraries do the same (P.-L. Hsu and
others. Liger Kernel: efficient Triton kernels for LLM training. arXiv:2410.10989), for losses that the library has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from dvbench.training.losses import subtract_one_hot
from dvbench.training.vector_jacobian import vector_jacobian

# A GPU has fast kernels for products in half precision only where dimensions are a multiple of this. GPT-2 has 50,257
# words: without padding, the three products of the output layer took 23 of the 55 ms of a step of gpt2 on an H200.
MULTIPLE = 64
PADDED_ON = ("cuda",)

ChunkGradient = tuple[torch.Tensor | float, torch.Tensor]
"""Loss of a chunk, a scalar, and its gradient with respect to the chunk's logits (tokens, vocabulary)."""


class ChunkRule(Protocol):
    """Computes them from the logits, and the position of the chunk among the tokens of its pass."""

    def __call__(self, logits: torch.Tensor, chunk: slice) -> ChunkGradient:
        """Compute loss and gradient of one chunk."""


def chunked_loss(layer: nn.Module, entering: torch.Tensor, chunks: Sequence[slice], rule: ChunkRule) -> torch.Tensor:
    """Sum of the losses of chunks; its gradient is what the rule returns, sent through the layer.

    Parameters
    ----------
    layer : torch.nn.Module
        The output layer. It runs in the precision of the caller's ``torch.autocast``.
    entering : torch.Tensor of shape (tokens, width of the model)
        Inputs of the output layer.
    chunks : sequence of slice
        Consecutive tokens.
    rule : ChunkRule
        It gets float32 logits, or float64 if the network computes so, and may change them.

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    total: torch.Tensor = _ChunkedLoss.apply(entering, layer, chunks, rule, *layer.parameters())
    return total


def token_losses(targets: torch.Tensor) -> ChunkRule:
    """Return the rule of the summed negative log-probability of tokens.

    Parameters
    ----------
    targets : torch.Tensor of int64, shape (tokens,)
    """

    def rule(logits: torch.Tensor, chunk: slice) -> ChunkGradient:
        log_p, y = logits.log_softmax(dim=1), targets[chunk]
        loss = -log_p.gather(1, y.unsqueeze(1)).sum()
        return loss, subtract_one_hot(log_p.exp_(), y)

    return rule


def logits_of(layer: nn.Module, entering: torch.Tensor) -> torch.Tensor:
    """Logits (tokens, vocabulary) in the precision of the caller's ``torch.autocast``.

    On a GPU in half precision they are a view of logits of a padded vocabulary, which are computed faster.
    """
    device = entering.device.type
    if type(layer) is not nn.Linear or device not in PADDED_ON or not torch.is_autocast_enabled(device):
        logits: torch.Tensor = layer(entering)
        return logits
    words, more = len(layer.weight), -len(layer.weight) % MULTIPLE
    bias = None if layer.bias is None else F.pad(layer.bias, (0, more))
    return F.linear(entering, F.pad(layer.weight, (0, 0, 0, more)), bias)[:, :words]


def full_precision(logits: torch.Tensor) -> torch.Tensor:
    """Logits in float32, or in float64 if the network computes so."""
    return logits if logits.dtype == torch.float64 else logits.float()


class _ChunkedLoss(torch.autograd.Function):
    """The loss, whose gradients are computed together with it, while the logits exist."""

    @staticmethod
    def forward(
        ctx: Any,
        entering: torch.Tensor,
        layer: nn.Module,
        chunks: Sequence[slice],
        rule: ChunkRule,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        wanted = [ctx.needs_input_grad[0], *ctx.needs_input_grad[4:]]
        slopes = {
            number: torch.zeros_like(each) for number, each in enumerate([entering, *parameters]) if wanted[number]
        }
        total = torch.zeros((), device=entering.device, dtype=full_precision(entering[:0]).dtype)
        for chunk in chunks:
            loss, parts = _slopes_of_chunk(entering[chunk], layer, partial(rule, chunk=chunk), parameters, wanted)
            total += loss
            for number, part in parts.items():
                (slopes[0][chunk] if number == 0 else slopes[number]).add_(part)
        ctx.slopes, ctx.parameters = slopes, len(parameters)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        slopes = {number: slope.mul_(factor) for number, slope in ctx.slopes.items()}
        ctx.slopes = None
        return slopes.get(0), None, None, None, *(slopes.get(number) for number in range(1, 1 + ctx.parameters))


def _slopes_of_chunk(
    entering: torch.Tensor,
    layer: nn.Module,
    rule: Callable[[torch.Tensor], ChunkGradient],
    parameters: Sequence[torch.Tensor],
    wanted: Sequence[bool],
) -> tuple[torch.Tensor | float, dict[int, torch.Tensor]]:
    """Loss of one chunk, and its gradients: number 0 is that of ``entering``, those of the parameters follow.

    It is a function because its tensors should not exist when the next chunk is computed.
    """
    with torch.enable_grad():
        inputs = entering.detach().requires_grad_(wanted[0])
        outputs = logits_of(layer, inputs)
    moving = {number: each for number, each in enumerate([inputs, *parameters]) if wanted[number]}
    with torch.autocast(entering.device.type, enabled=False):
        loss, slope = rule(full_precision(outputs.detach()))
        parts = vector_jacobian([outputs], [slope.to(outputs.dtype)], list(moving.values())) if moving else ()
    return loss, dict(zip(moving, parts, strict=True))
