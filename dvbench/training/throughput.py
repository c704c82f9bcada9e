"""How fast a language model trains, and what share of what a device can do that is."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from dvbench.settings import Precision
from dvbench.training.memory import parameter_count

SIDE, REPEATS = {"cpu": 1024, "cuda": 8192}, 5  # of the matrices that a device's speed is told by


def training_flops(network: nn.Module, width: int) -> int:
    """Floating-point operations a token of training takes, in texts of so many tokens.

    Twice as many as there are weights in matrix products, and attention's products of every token with every other,
    three times for the gradient. What is computed a second time to save memory does not count.

    References
    ----------
    A. Chowdhery and others. PaLM: scaling language modeling with pathways. JMLR 2023. Appendix B.
    """
    config: Any = network.config
    positions = config.max_position_embeddings * config.hidden_size
    forward = 2 * (parameter_count(network) - positions) + 4 * config.num_hidden_layers * width * config.hidden_size
    return 3 * forward


def achievable_flops(device: torch.device, precision: Precision) -> float:
    """Floating-point operations a second in products of large matrices: the most that one can hope for.

    It is measured where and when it is asked for, with as many threads as torch uses.
    """
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    side = SIDE.get(device.type, SIDE["cpu"])
    left, right = (torch.ones(side, side, dtype=kind, device=device) for _ in range(2))
    fastest = min(_seconds_of_product(left, right) for _ in range(REPEATS))
    return 2 * side**3 / fastest


def _seconds_of_product(left: torch.Tensor, right: torch.Tensor) -> float:
    if left.is_cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    torch.mm(left, right)
    if left.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def training_speed(
    network: nn.Module, tokens: int, width: int, seconds: float, precision: Precision
) -> dict[str, float]:
    """``tokens_per_second`` of training, and its ``flop_utilisation``, from 0 to 1.

    Parameters
    ----------
    network : torch.nn.Module
    tokens : int
        Trained on, in all epochs.
    width : int
        Tokens of a text.
    seconds : float
        That it took.
    precision : {"float32", "bfloat16"}
    """
    device = next(network.parameters()).device
    used = tokens * training_flops(network, width) / seconds
    return {"tokens_per_second": tokens / seconds, "flop_utilisation": used / achievable_flops(device, precision)}
