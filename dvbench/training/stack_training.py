"""Trains a stack with AdamW: each copy of the network is trained on its own coalition, in its own minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from dvbench.randomness import torch_generator
from dvbench.settings import Precision
from dvbench.training.losses import residuals
from dvbench.training.optimisers import AdamW, Optimiser
from dvbench.training.stacks import LogitGradient, Stack

PREFETCHED_STEPS = 256  # minibatches of each coalition that are prepared together
GATHERED_NUMBERS = 2**18  # 1 MiB of features of minibatches that are gathered together, if one does not take more


def train(
    copies: Stack,
    x: torch.Tensor,
    y: torch.Tensor,
    coalitions: Sequence[torch.Tensor],
    *,
    batch_size: int,
    epochs: int,
    lr: float,
    weight_decay: float,
    seed: int,
    trainable: Sequence[bool] | None = None,
    precision: Precision = "float32",
    sample_weight: torch.Tensor | None = None,
    on_epoch: Callable[[], None] | None = None,
) -> None:
    """Train each copy of a network on its own coalition.

    Parameters
    ----------
    copies : Stack
        In training mode.
    x, y : torch.Tensor of shape (n, ...) and (n, outputs)
        On the stack's device.
    coalitions : sequence of torch.Tensor of int64, each (k,) with k >= 1
        Row numbers of each copy's points, sorted from the largest coalition to the smallest.
    batch_size, epochs : int
    lr, weight_decay : float
        Learning rate and weight decay of AdamW.
    seed : int
        Seed of the order of minibatches.
    trainable : sequence of bool, optional
        Whether each parameter is trained; by default all are.
    precision : {"float32", "bfloat16"}
        Precision of matrix products.
    sample_weight : torch.Tensor of shape (n,), optional
        Weight of each point's loss.
    on_epoch : callable, optional
        Called at the start of every epoch of the first copy, which has the largest coalition.

    Raises
    ------
    FloatingPointError
        If training diverged: a parameter is NaN or infinite.
    """
    optimiser, steps_per_epoch = AdamW(copies, lr, weight_decay, trainable), -(-len(coalitions[0]) // batch_size)

    def start_step(step: int) -> None:
        if on_epoch is not None and step % steps_per_epoch == 0:
            on_epoch()

    def weigh(points: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        assert sample_weight is not None
        return weights * gather(sample_weight, points)

    take_steps(
        copies,
        x,
        y,
        stacked_minibatches(coalitions, batch_size, epochs, seed),
        optimiser,
        precision=precision,
        weigh=None if sample_weight is None else weigh,
        on_step=None if on_epoch is None else start_step,
    )
    diverged = [len(coalitions[int(number)]) for number in (~copies.finite()).nonzero()]
    if diverged:
        raise FloatingPointError(
            f"training diverged for {len(diverged)} of {copies.copies} models (the first has {diverged[0]} points) at "
            f"learning rate {lr:g}; lower it"
        )


def take_steps(
    copies: Stack,
    x: torch.Tensor,
    y: torch.Tensor,
    minibatches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    optimiser: Optimiser,
    *,
    precision: Precision = "float32",
    weigh: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Take one step of an optimiser for each minibatch of each copy.

    Parameters
    ----------
    copies : Stack
    x, y : torch.Tensor of shape (n, ...) and (n, outputs)
        On the stack's device.
    minibatches : iterable of (points, weights)
        Of several steps, as `stacked_minibatches` yields them.
    optimiser : Optimiser
    precision : {"float32", "bfloat16"}
    weigh : callable, optional
        Maps row numbers and weights of minibatches, both (steps, copies, width), to other weights.
    augment : callable, optional
        Maps the features of a minibatch, (copies, width, ...), to others of the same shape.
    on_step : callable, optional
        Called with the number of each step before it is taken.
    """
    # A disabled autocast takes as long as a small operation, so there is none in float32.
    autocast = torch.autocast(x.device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
    x, y = x.detach(), y.detach()  # data that require gradients would be followed by autograd
    active, step = copies, 0
    for points, weights in minibatches:
        if points.shape[1] < active.copies:
            active = active[: points.shape[1]]
        at_once = max(1, GATHERED_NUMBERS // (points[0].numel() * x[0].numel()))
        for rows, row_weights in zip(points.split(at_once), weights.split(at_once), strict=True):
            rows, row_weights = rows.to(x.device), row_weights.to(y)  # the dtype of y, because x may hold integers
            if weigh is not None:
                row_weights = weigh(rows, row_weights)
            gathered = gather(x, rows), gather(y, rows).transpose(2, 3), row_weights.unsqueeze(2)
            for features, *rest in zip(*(part.unbind() for part in gathered), strict=True):
                if on_step is not None:
                    on_step(step)
                with autocast:
                    active.accumulate_gradient(
                        features if augment is None else augment(features), _loss_gradient(*rest)
                    )
                optimiser.step(active)
                step += 1


def _loss_gradient(targets: torch.Tensor, weights: torch.Tensor) -> LogitGradient:
    """Return the function that computes the gradient of the weighted loss with respect to the logits."""
    return lambda logits: residuals(logits, targets).mul_(weights)


def group_by_size(sizes: np.ndarray, max_group: int, *, equal_sizes: bool) -> Iterator[np.ndarray]:
    """Group coalitions that are trained together.

    Coalitions are sorted by size, because coalitions of similar size take a similar number of steps.

    Parameters
    ----------
    sizes : numpy.ndarray of int, shape (k,)
        Number of points of each coalition.
    max_group : int
        Largest number of coalitions in a group.
    equal_sizes : bool
        Whether all coalitions of a group must have the same size.

    Yields
    ------
    numpy.ndarray of int
        Positions in ``sizes`` of one group, from the largest coalition to the smallest. Empty coalitions are never in
        a group with others.
    """
    order = np.argsort(-sizes, kind="stable")
    sort_keys = sizes[order] if equal_sizes else sizes[order] > 0
    for group in np.split(order, np.flatnonzero(sort_keys[1:] != sort_keys[:-1]) + 1):
        yield from (group[start : start + max_group] for start in range(0, len(group), max_group))


def gather(x: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Select points: x (n, ...) and row numbers (copies, points) to (copies, points, ...), with any dimensions before.

    This is faster than ``x[points]``.
    """
    return x.index_select(0, points.reshape(-1)).view(points.shape + x.shape[1:])


def stacked_minibatches(
    coalitions: Sequence[torch.Tensor], batch_size: int, epochs: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the minibatches of all coalitions, some steps at a time. Each coalition is shuffled anew in every epoch.

    Each coalition is shuffled by its own generator, and all generators start from the same seed. So the minibatches of
    a coalition do not depend on the other coalitions in the list. Smaller coalitions have fewer steps and end earlier.

    Parameters
    ----------
    coalitions : sequence of torch.Tensor of int64, each (k,) with k >= 1
        Row numbers, sorted from the largest coalition to the smallest.
    batch_size, epochs : int
    seed : int

    Yields
    ------
    points : torch.Tensor of int64, shape (steps, active, width)
        Minibatches, in consecutive steps of one shape, of the coalitions that have steps left. Minibatches shorter than
        the longest of their step are padded.
    weights : torch.Tensor of shape (steps, active, width)
        Weight of each point's loss: one over the size of its minibatch, and 0 for padding.
    """
    width = min(batch_size, len(coalitions[0]))
    streams = [_minibatch_blocks(coalition, batch_size, width, epochs, seed) for coalition in coalitions]
    steps = np.array([epochs * -(-len(coalition) // batch_size) for coalition in coalitions])
    for start in range(0, int(steps[0]), PREFETCHED_STEPS):
        blocks = [next(stream) for stream, count in zip(streams, steps, strict=True) if count > start]
        points = torch.nn.utils.rnn.pad_sequence(blocks, padding_value=-1)
        is_point = points >= 0
        counts = is_point.sum(dim=2, keepdim=True)
        weights = is_point.double() / counts.clamp(min=1)
        # Pad with a point of the same minibatch: the features of another coalition's point could be infinite.
        points = torch.where(is_point, points, points[:, :, :1]).clamp_(min=0)
        active = np.searchsorted(-steps, -np.arange(start, start + len(points)))  # coalitions with steps left
        shapes = np.stack([active, counts.amax(dim=(1, 2)).numpy()], axis=1)
        ends = [*(np.flatnonzero((shapes[1:] != shapes[:-1]).any(axis=1)) + 1).tolist(), len(points)]
        for first, end in pairwise([0, *ends]):
            copies, longest = shapes[first].tolist()
            yield points[first:end, :copies, :longest], weights[first:end, :copies, :longest]


def _minibatch_blocks(
    members: torch.Tensor, batch_size: int, width: int, epochs: int, seed: int
) -> Iterator[torch.Tensor]:
    """Yield the minibatches of one coalition in blocks of `PREFETCHED_STEPS`: (steps, width), padded with -1."""
    generator = torch_generator(seed)
    steps = -(-len(members) // batch_size)
    padding, at_once = steps * width - len(members), -(-PREFETCHED_STEPS // steps)
    pending: list[torch.Tensor] = []
    for first in range(0, epochs, at_once):
        shuffles = [torch.randperm(len(members), generator=generator) for _ in range(min(at_once, epochs - first))]
        orders = members[torch.stack(shuffles)]
        pending.append((F.pad(orders, (0, padding), value=-1) if padding else orders).view(-1, width))
        *full_blocks, last = torch.cat(pending).split(PREFETCHED_STEPS)
        yield from full_blocks
        pending = [last]
    yield from pending
