"""Trains a causal language model on texts from its present weights. Long training can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.settings import Precision
from dvbench.training.checkpoints import FINISHED_SECONDS, Checkpoints, TrainingProgress
from dvbench.training.memory import FLOATS_PER_PARAMETER, parameter_count
from dvbench.training.pass_size import PassSize
from dvbench.training.recompute import recomputation
from dvbench.training.text_batches import TextBatch, TextLoss, text_batch

if TYPE_CHECKING:
    from accelerate import Accelerator

AroundStep = Callable[[torch.Tensor], AbstractContextManager[object]]


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
    accelerator: Accelerator | None = None,
    around_step: AroundStep | None = None,
) -> tuple[TrainingProgress, float]:
    """Train with AdamW on shuffled minibatches. The loss of a minibatch is the mean over its tokens that count.

    Parameters
    ----------
    network : torch.nn.Module
        A causal language model of transformers.
    x, y : torch.Tensor of shape (n, length) and (n, 1)
        Texts, and the position of the first token of each that counts in the loss. They may be on another device than
        the network.
    batch_size, epochs : int
    lr, weight_decay : float
        Learning rate and weight decay of AdamW.
    seed : int
        Seed of the order of minibatches.
    precision : {"float32", "bfloat16"}
        Precision of matrix products. Weights and moments are float32 in both cases.
    checkpoints : Checkpoints, optional
        Where training is saved, and from where it is resumed; by default it is not saved.
    on_epoch : callable, optional
        Called at the start of every epoch. Its results are collected.
    accelerator : accelerate.Accelerator, optional
        Of this process, if several processes split each minibatch. The main process writes the checkpoints.
    around_step : callable, optional
        Gets the rows of a minibatch, and returns a context in which its gradient is computed. If memory runs out in it,
        it is left with the error, and another is entered for the same rows.

    Returns
    -------
    progress : TrainingProgress
        Number of steps, their duration without the calls of ``on_epoch``, and the results of these calls.
    resumed_seconds : float
        The part of that duration that was spent before the checkpoint from which training was resumed.

    Raises
    ------
    FloatingPointError
        If training diverged.
    UserError
        If a checkpoint is damaged or cannot be written.
    """
    size = PassSize(network, coming=training_bytes(network, precision, accelerator is not None))
    optimiser = adamw(network, lr, weight_decay)
    resumed = (checkpoints.load(network, optimiser) if checkpoints is not None else None) or TrainingProgress(0, 0.0)
    steps_per_epoch, epoch_results = -(-len(x) // batch_size), list(resumed.epoch_results)
    last_saved, seconds, steps = time.perf_counter(), resumed.seconds, steps_per_epoch * epochs
    loss: nn.Module = TextLoss(network.train())
    loss = loss if accelerator is None else accelerator.prepare(loss)
    writer = checkpoints if accelerator is None or accelerator.is_main_process else None
    with recomputation(network, size.recompute):
        for step, rows in enumerate(text_minibatches(len(x), batch_size, epochs, seed)):
            if step < resumed.step:
                continue
            if on_epoch is not None and step % steps_per_epoch == 0:
                epoch_results.append(on_epoch())
                network.train()
            started = time.perf_counter()
            around = partial(around_step, rows) if around_step is not None else nullcontext
            accumulate_gradient(loss, optimiser, text_batch(x[rows], y[rows]), size, precision, accelerator, around)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            due = writer is not None and step + 1 < steps and started - last_saved >= writer.every
            if due or step + 1 == steps:
                _require_finite(network, lr)  # also waits until the GPU has finished
            seconds += time.perf_counter() - started
            if writer is not None and due:
                writer.save(TrainingProgress(step + 1, seconds, epoch_results), network, optimiser)
                last_saved = time.perf_counter()
    network.eval()
    progress = TrainingProgress(steps, seconds, epoch_results)
    if writer is not None and resumed.step < steps and seconds >= min(writer.every, FINISHED_SECONDS):
        writer.save(progress, network, None)
    return progress, resumed.seconds


def adamw(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Make torch's fused AdamW for the parameters that require gradients."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trainable, lr=lr, weight_decay=weight_decay, fused=True)


def text_minibatches(n: int, batch_size: int, epochs: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield the rows of each minibatch. Each epoch has its own order, which does not depend on earlier epochs."""
    for epoch in range(epochs):
        yield from torch.randperm(n, generator=torch_generator(integer_seed(seed, "epoch", epoch))).split(batch_size)


def accumulate_gradient(
    loss: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: TextBatch,
    size: PassSize,
    precision: Precision,
    accelerator: Accelerator | None = None,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Compute the gradient of the mean loss of a minibatch; those of the parameters were zero.

    The minibatch is split among the processes, if there are several, and then into passes that fit the memory.
    """

    def compute() -> None:
        with around():
            _accumulate_passes(loss, batch, size, precision, accelerator)

    if accelerator is not None:  # the other processes would not repeat theirs
        compute()
    else:
        size.attempt(compute, partial(optimiser.zero_grad, set_to_none=True))


def _accumulate_passes(
    loss: nn.Module, batch: TextBatch, size: PassSize, precision: Precision, accelerator: Accelerator | None
) -> None:
    rank, processes = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    device = next(loss.parameters()).device.type
    count, width = sum(batch.sizes), batch.tokens.shape[1]
    shared = batch.part(slice(rank, None, processes))
    if not len(shared.tokens):  # every process must run a pass, because the others wait for its gradient
        shared = TextBatch(batch.tokens[:1], torch.zeros_like(batch.counts[:1]))
    texts, chunk_texts = size.texts(len(shared.tokens), width), size.chunk_texts(width)
    starts = range(0, len(shared.tokens), texts)
    for start in starts:
        no_sync = nullcontext() if accelerator is None or start == starts[-1] else accelerator.no_sync(loss)
        with no_sync:
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                summed = loss(shared.part(slice(start, start + texts)), chunk_texts)
            (summed / (count / processes)).backward()  # accelerate averages the gradients of the processes


def training_bytes(network: nn.Module, precision: Precision, several: bool = False) -> int:
    """Bytes that training uses beside weights and passes: gradients, moments, and weights in half the precision.

    With several processes each also has a buffer for the gradients that they exchange.
    """
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    lowered = 2 * parameter_count(network) if precision == "bfloat16" else 0
    return 4 * (FLOATS_PER_PARAMETER - 1 + several) * trained + lowered


def finite(network: nn.Module) -> torch.Tensor:
    """Whether all parameters are finite: bool of shape (1,), like `Stack.finite` of one copy."""
    return torch.stack([parameter.isfinite().all() for parameter in network.parameters()]).all().reshape(1)


def _require_finite(network: nn.Module, lr: float) -> None:
    if not bool(finite(network)):
        raise FloatingPointError(f"training diverged at learning rate {lr:g}: lower it")
