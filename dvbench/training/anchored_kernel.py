"""One Triton kernel for a step of AdamW that is held near a start; `dvbench.training.anchored` says when it is used."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from dvbench.training.optimisers import EPSILON

BLOCK = 1024  # numbers of one copy that one program updates


def anchored_step(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    start: torch.Tensor,
    betas: torch.Tensor,
    corrections: torch.Tensor,
    *,
    lr: float,
    weight_decay: float,
    anchor: float,
) -> None:
    """Take a step on the parameters of all copies, in place.

    Parameters
    ----------
    parameter, gradient, first, second : torch.Tensor of shape (copies, ...)
        Parameter, gradient of the loss, and both moments of AdamW: dense, and of one layout in memory.
    start : torch.Tensor of shape (1, ...)
    betas, corrections : torch.Tensor of float64, shape (2,)
        Decay rates of both moments, and 1 - betas**step, with steps counted from 1.
    lr, weight_decay, anchor : float
    """
    _step[len(parameter), triton.cdiv(start.numel(), BLOCK)](
        *(parameter, gradient, first, second, start, betas, corrections),
        *(start.numel(), lr, 1 - lr * weight_decay, 2 * anchor, EPSILON),
        BLOCK=BLOCK,
    )


@triton.jit  # type: ignore[untyped-decorator]
def _step(  # type: ignore[no-untyped-def]
    parameter, gradient, first, second, start, betas, corrections,
    size, lr, decay, twice_anchor, epsilon, BLOCK: tl.constexpr,
):  # fmt: skip
    in_copy = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = in_copy < size
    at = tl.program_id(0).to(tl.int64) * size + in_copy
    p = tl.load(parameter + at, mask=inside)
    g = tl.load(gradient + at, mask=inside)
    m = tl.load(first + at, mask=inside)
    v = tl.load(second + at, mask=inside)
    rest1, rest2 = (1 - tl.load(betas)).to(tl.float32), (1 - tl.load(betas + 1)).to(tl.float32)
    g += twice_anchor * (p - tl.load(start + in_copy, mask=inside))
    m += rest1 * (g - m)
    v += rest2 * (g * g - v)
    rate = (lr / tl.load(corrections)).to(tl.float32)
    root = tl.sqrt(tl.load(corrections + 1)).to(tl.float32)
    p = decay * p - rate * m / (tl.sqrt(v) / root + epsilon)
    tl.store(parameter + at, p, mask=inside)
    tl.store(first + at, m, mask=inside)
    tl.store(second + at, v, mask=inside)
