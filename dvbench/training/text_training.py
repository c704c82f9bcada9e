"""Trains a causal language model on texts, from where it is, and takes long training up again where it was left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.settings import Precision
from dvbench.training.checkpoints import Checkpoints, TrainingProgress
from dvbench.training.text_batches import TextBatch, TextLoss, text_batch, texts_at_once

if TYPE_CHECKING:
    from accelerate import Accelerator


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
    team: Accelerator | None = None,
) -> tuple[TrainingProgress, float]:
    """Train by AdamW on shuffled text_minibatches; a minibatch's loss is the mean over its tokens.

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
        Seed of the order of text_minibatches.
    precision : {"float32", "bfloat16"}
        Of the products; weights and moments stay in float32.
    checkpoints : Checkpoints, optional
        Where long training is kept, and taken up again.
    on_epoch : callable, optional
        Called at the start of every epoch; what it returns is noted.
    team : accelerate.Accelerator, optional
        Of the processes that share every minibatch, of which this is one; the first keeps the checkpoints.

    Returns
    -------
    reached : TrainingProgress
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
    before = (checkpoints.load(network, optimiser) if checkpoints is not None else None) or TrainingProgress(0, 0.0)
    every, seen = -(-len(x) // batch_size), list(before.seen)
    saved, seconds, last = time.perf_counter(), before.seconds, every * epochs
    loss: nn.Module = TextLoss(network.train())
    loss = loss if team is None else team.prepare(loss)
    keeps = checkpoints if team is None or team.is_main_process else None
    for step, rows in enumerate(text_minibatches(len(x), batch_size, epochs, seed)):
        if step < before.step:
            continue
        if on_epoch is not None and step % every == 0:
            seen.append(on_epoch())
            network.train()
        started = time.perf_counter()
        accumulate_gradient(loss, network, text_batch(x[rows], y[rows]), device, precision, team)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        due = keeps is not None and step + 1 < last and started - saved >= keeps.every
        if due or step + 1 == last:
            _require_finite(network, lr)  # which also waits for a GPU
        seconds += time.perf_counter() - started
        if keeps is not None and due:
            keeps.save(TrainingProgress(step + 1, seconds, seen), network, optimiser)
            saved = time.perf_counter()
    network.eval()
    reached = TrainingProgress(last, seconds, seen)
    if keeps is not None and before.step < last and seconds >= keeps.every:
        keeps.save(reached, network, None)
    return reached, before.seconds


def adamw(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in one kernel over the parameters that require gradients."""
    moving = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(moving, lr=lr, weight_decay=weight_decay, fused=True)


def text_minibatches(n: int, batch_size: int, epochs: int, seed: int) -> Iterator[torch.Tensor]:
    """Rows of each minibatch, every epoch in another order; an epoch's order does not depend on those before."""
    for epoch in range(epochs):
        yield from torch.randperm(n, generator=torch_generator(integer_seed(seed, "epoch", epoch))).split(batch_size)


def accumulate_gradient(
    loss: nn.Module,
    network: nn.Module,
    whole: TextBatch,
    device: torch.device,
    precision: Precision,
    team: Accelerator | None = None,
) -> None:
    """Add the gradient of a minibatch's mean loss, in as many passes as memory asks for; of a team, each a share."""
    rank, members = (0, 1) if team is None else (team.process_index, team.num_processes)
    tokens, counts, count = whole.tokens[rank::members], whole.counts[rank::members], whole.counts.sum().item()
    if not len(tokens):  # every member takes part, or the others would wait for it
        tokens, counts = whole.tokens[:1], torch.zeros_like(whole.counts[:1])
    parts = list(
        zip(*(each.split(texts_at_once(network, whole.tokens.shape[1])) for each in (tokens, counts)), strict=True)
    )
    for number, part in enumerate(parts, start=1):
        alone = nullcontext() if team is None or number == len(parts) else team.no_sync(loss)
        with alone:
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                summed = loss(*(each.to(device) for each in part))
            (summed / (count / members)).backward()  # the team's gradients are averaged


def finite(network: nn.Module) -> torch.Tensor:
    """Whether all parameters are finite, bool of shape (1,), as of a stack of one model."""
    return torch.stack([parameter.isfinite().all() for parameter in network.parameters()]).all().reshape(1)


def _require_finite(network: nn.Module, lr: float) -> None:
    if not bool(finite(network)):
        raise FloatingPointError(f"training diverged at learning rate {lr:g}: lower it")
