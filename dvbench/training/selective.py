"""Trains a model on chosen points only, which are chosen anew every few epochs.

The steps are those of `dvbench.training.stack_training`, with SGD and a cosine schedule. Who chooses, a selection
strategy or the record of an earlier choice, is a function that is passed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.settings import SelectionSettings
from dvbench.training.batch_normalisation import lone_points_normalised
from dvbench.training.images import cropped_and_flipped
from dvbench.training.optimisers import SGD
from dvbench.training.stack_training import stacked_minibatches, take_steps
from dvbench.training.stacks import Stack, view_as_stack
from dvbench.training.tensors import as_indices

SMALLEST = 1e-12  # of the sum of weights in a minibatch, so that no gradient is divided by 0


@dataclass(frozen=True)
class Chosen:
    """Points to train on.

    Parameters
    ----------
    indices : numpy.ndarray of int64, shape (k,)
        Row numbers, ascending and each once.
    weights : numpy.ndarray of float32, shape (k,)
        Weight of the loss of each. In a minibatch the loss is sum(weight * loss) / sum(weight).
    """

    indices: np.ndarray
    weights: np.ndarray


Choose = Callable[[nn.Module, int], Chosen]
"""Maps the network, and the number of the selection from 0 on, to the points of the next epochs."""


@dataclass
class Seconds:
    """Seconds spent on choosing points and on training; evaluation is in neither."""

    choosing: float = 0.0
    training: float = 0.0


def train_on_chosen(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    choose: Choose,
    how: SelectionSettings,
    seed: int,
    after_each: Callable[[nn.Module], None] | None = None,
) -> Seconds:
    """Train a network from its current weights on points that are chosen before every ``how.every`` epochs.

    The order of minibatches, and crops, depend on the seed and the epoch alone. So the same points give the same model,
    whoever chose them.

    Parameters
    ----------
    network : torch.nn.Module
        Maps features (n, ...) to logits (n, outputs); it is changed.
    x, y : torch.Tensor of shape (n, ...) and (n, outputs)
        On the network's device.
    choose : callable
        See `Choose`.
    how : SelectionSettings
    seed : int
    after_each : callable, optional
        Called with the network after the epochs of each selection.

    Returns
    -------
    Seconds

    Raises
    ------
    FloatingPointError
        If training diverged: a weight is NaN or infinite.
    """
    spent, copies = Seconds(), view_as_stack(network)
    trainable = [parameter.requires_grad for parameter in network.parameters()]
    optimiser = SGD(copies, how.lr, how.momentum, how.weight_decay, trainable)
    for number, start in enumerate(range(0, how.epochs, how.every)):
        with _measured(x.device) as clock:
            chosen = choose(network, number)
        spent.choosing += clock[0]
        with _measured(x.device) as clock, _isolated(x.device, seed + number), lone_points_normalised(network):
            network.train()
            for epoch in range(start, min(start + how.every, how.epochs)):
                optimiser.lr = 0.5 * how.lr * (1 + math.cos(math.pi * epoch / how.epochs))
                _train_epoch(copies, x, y, chosen, how, optimiser, integer_seed("epoch", seed, epoch))
        spent.training += clock[0]
        if not bool(copies.finite().all()):
            raise FloatingPointError(
                f"training on {len(chosen.indices)} chosen points diverged; lower the rate {how.lr:g}"
            )
        if after_each is not None:
            after_each(network)
    return spent


def _train_epoch(
    copies: Stack,
    x: torch.Tensor,
    y: torch.Tensor,
    chosen: Chosen,
    how: SelectionSettings,
    optimiser: SGD,
    seed: int,
) -> None:
    of_points = torch.zeros(len(x), dtype=y.dtype)
    of_points[torch.from_numpy(chosen.indices)] = torch.from_numpy(chosen.weights).to(y.dtype)
    of_points = of_points.to(x.device)

    def weigh(points: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        weights = torch.where(weights > 0, of_points[points], 0.0)
        return weights / weights.sum(dim=-1, keepdim=True).clamp(min=SMALLEST)

    minibatches = stacked_minibatches([as_indices(chosen.indices, len(x))], how.batch_size, 1, seed, y)
    augment = None if how.augmentation == "none" else partial(cropped_and_flipped, generator=torch_generator(seed))
    take_steps(copies, x, y, minibatches, optimiser, precision=how.precision, weigh=weigh, augment=augment)


@contextmanager
def _isolated(device: torch.device, seed: int) -> Iterator[None]:
    """Dropout and other random layers draw from torch's global generators, which are restored afterwards."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _measured(device: torch.device) -> Iterator[list[float]]:
    """Measure seconds, in which a GPU has finished its work; they are the one element of the list."""
    seconds = [0.0]
    _wait_for(device)
    started = time.perf_counter()
    yield seconds
    _wait_for(device)
    seconds[0] = time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
