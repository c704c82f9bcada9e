"""Trains a causal language model on texts, from where it is, and takes long training up again where it was left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from dvbench.models.saved_training import Checkpoints, Reached
from dvbench.models.text_batches import TextBatch, TextLoss, text_batch, texts_at_once
from dvbench.randomness import integer_seed, torch_generator
from dvbench.settings import Precision


def train_texts(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    batch_size: int,
    epochs: int,
    lr: float,
    weight_decay: float,
    seed: int,
    precision: Precision = "float32",
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[], Any] | None = None,
) -> tuple[Reached, float]:
    """Train by AdamW on shuffled minibatches; a minibatch's loss is the mean over its tokens.

    Parameters
    ----------
    network : torch.nn.Module
        A causal language model of transformers.
    x, y : torch.Tensor of shape (n, length) and (n, 1)
        Texts, and where their loss begins. They may stay in memory that the network's device has not.
    batch_size, epochs : int
    lr, weight_decay : float
        AdamW's.
    seed : int
        Seed of the order of minibatches.
    precision : {"float32", "bfloat16"}
        Of the products; weights and moments stay in float32.
    checkpoints : Checkpoints, optional
        Where long training is kept, and taken up again.
    on_epoch : callable, optional
        Called at the start of every epoch; what it returns is noted.

    Returns
    -------
    reached : Reached
        All steps, the seconds they took (what is done at the start of epochs not among them), and what was noted.
    spared : float
        Seconds of those that were not taken here, because a checkpoint had them.

    Raises
    ------
    FloatingPointError
        If training diverged.
    UserError
        If a checkpoint is not what was saved, or cannot be written.
    """
    optimiser = adamw(network, lr, weight_decay)
    device = next(network.parameters()).device
    before = (checkpoints.load(network, optimiser) if checkpoints is not None else None) or Reached(0, 0.0)
    every, seen = -(-len(x) // batch_size), list(before.seen)
    saved, seconds, last = time.perf_counter(), before.seconds, every * epochs
    loss = TextLoss(network.train())
    for step, rows in enumerate(minibatches(len(x), batch_size, epochs, seed)):
        if step < before.step:
            continue
        if on_epoch is not None and step % every == 0:
            seen.append(on_epoch())
            network.train()
        started = time.perf_counter()
        descend(loss, x[rows], y[rows], optimiser, device, precision)
        if step + 1 == last or (checkpoints is not None and started - saved >= checkpoints.every):
            _require_finite(network, lr)  # which also waits for a GPU
        seconds += time.perf_counter() - started
        if checkpoints is not None and step + 1 < last and started - saved >= checkpoints.every:
            checkpoints.save(Reached(step + 1, seconds, seen), network, optimiser)
            saved = time.perf_counter()
    network.eval()
    reached = Reached(last, seconds, seen)
    if checkpoints is not None and before.step < last and seconds >= checkpoints.every:
        checkpoints.save(reached, network, None)
    return reached, before.seconds


def adamw(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in one kernel over the parameters that require gradients."""
    moving = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(moving, lr=lr, weight_decay=weight_decay, fused=True)


def minibatches(n: int, batch_size: int, epochs: int, seed: int) -> Iterator[torch.Tensor]:
    """Rows of each minibatch, every epoch in another order; an epoch's order does not depend on those before."""
    for epoch in range(epochs):
        yield from torch.randperm(n, generator=torch_generator(integer_seed(seed, "epoch", epoch))).split(batch_size)


def descend(
    loss: TextLoss,
    x: torch.Tensor,
    y: torch.Tensor,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
    precision: Precision,
) -> None:
    """One step on a minibatch, in as many passes as memory asks for."""
    whole = text_batch(x, y, device)
    count = whole.counts.sum()
    most = texts_at_once(loss.network, whole.tokens.shape[1])
    for start in range(0, len(x), most):
        part = TextBatch(whole.tokens[start : start + most], whole.counts[start : start + most])
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            (loss(part.tokens, part.counts) / count).backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _require_finite(network: nn.Module, lr: float) -> None:
    if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
        raise FloatingPointError(f"training diverged at learning rate {lr:g}: lower it")
