"""Measures the speed of training a language model, and compares it with the speed of the device."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from dvbench.settings import Precision, Training
from dvbench.training.language_model import LanguageModel
from dvbench.training.memory import parameter_count
from dvbench.training.precision import products_in
from dvbench.training.text_batches import lengths

MATRIX_SIZE, REPEATS = {"cpu": 1024, "cuda": 8192}, 5  # of the matrix products that measure a device's speed


def training_flops(network: nn.Module, width: int) -> int:
    """Floating-point operations of training per token.

    A forward pass takes two operations for each weight of a matrix product, and the products of every token with every
    other in attention. Training takes three times as many, for the gradients. Operations that are repeated in order to
    save memory are not counted.

    Parameters
    ----------
    network : torch.nn.Module
    width : int
        Tokens per text.

    References
    ----------
    A. Chowdhery and others. PaLM: scaling language modeling with pathways. JMLR 2023. Appendix B.
    """
    config: Any = network.config
    positions: int = config.max_position_embeddings * config.hidden_size
    forward: int = (
        2 * (parameter_count(network) - positions) + 4 * config.num_hidden_layers * width * config.hidden_size
    )
    return 3 * forward


def achievable_flops(device: torch.device, precision: Precision) -> float:
    """Floating-point operations per second in products of large matrices: an upper bound for training.

    It is measured by the call, with as many threads as torch uses.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    size = MATRIX_SIZE.get(device.type, MATRIX_SIZE["cpu"])
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    with products_in(precision, device):
        fastest = min(_seconds_of_product(left, right) for _ in range(REPEATS))
    return 2 * size**3 / fastest


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
    """Speed of training, in absolute terms and relative to the device.

    Parameters
    ----------
    network : torch.nn.Module
    tokens : int
        Tokens that it was trained on, in all epochs together.
    width : int
        Tokens per text.
    seconds : float
        Duration of training.
    precision : {"float32", "tf32", "bfloat16"}
        Precision of matrix products.

    Returns
    -------
    dict
        ``tokens_per_second``, and ``flop_utilisation``: floating-point operations per second divided by
        `achievable_flops`, from 0 to 1.
    """
    device = next(network.parameters()).device
    flops = tokens * training_flops(network, width) / seconds
    return {"tokens_per_second": tokens / seconds, "flop_utilisation": flops / achievable_flops(device, precision)}


def fit_diagnostics(model: nn.Module, x: torch.Tensor, training: Training) -> dict[str, float]:
    """Speed of the last fit of a language model; nothing for other models.

    Parameters
    ----------
    model : torch.nn.Module
    x : torch.Tensor of shape (n, length)
        The texts that it was trained on.
    training : Training
        How it was trained.

    Returns
    -------
    dict
        ``train_seconds``, which counts the time before a checkpoint that was continued, and the entries of
        `training_speed`.
    """
    if not isinstance(model, LanguageModel):
        return {}
    tokens, seconds = training.epochs * int(lengths(x).sum()), model.seconds
    speed = training_speed(model.network, tokens, x.shape[1], seconds, training.precision)
    return {"train_seconds": seconds, **speed}
