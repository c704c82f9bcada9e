"""Trains a stack with AdamW: each copy of the network is trained on its own coalition, in its own minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from dvbench.randomness import torch_generator
from dvbench.settings import Precision
from dvbench.training.losses import residuals
from dvbench.training.optimisers import AdamW, Optimiser
from dvbench.training.precision import products_in
from dvbench.training.repeated_steps import Record, RepeatedSteps
from dvbench.training.stacks import LogitGradient, Stack

OnGradient = Callable[[torch.Tensor, Stack], None]

PREFETCHED_STEPS = 256  # minibatches of each coalition that are drawn and moved together
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
    on_gradient: OnGradient | None = None,
    record: Record | None = None,
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
    precision : {"float32", "tf32", "bfloat16"}
        Precision of matrix products.
    sample_weight : torch.Tensor of shape (n,), optional
        Weight of each point's loss.
    on_epoch : callable, optional
        Called at the start of every epoch of the first copy, which has the largest coalition.
    on_gradient, record : callable, optional
        As for `take_steps`.

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
        stacked_minibatches(coalitions, batch_size, epochs, seed, y),
        optimiser,
        precision=precision,
        weigh=None if sample_weight is None else weigh,
        on_step=None if on_epoch is None else start_step,
        on_gradient=on_gradient,
        record=record,
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
    on_gradient: OnGradient | None = None,
    record: Record | None = None,
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
    precision : {"float32", "tf32", "bfloat16"}
    weigh : callable, optional
        Maps row numbers and weights of minibatches, both (steps, copies, width), to other weights.
    augment : callable, optional
        Maps the features of a minibatch, (copies, width, ...), to others of the same shape.
    on_step : callable, optional
        Called with the number of each step before it is taken.
    on_gradient : callable, optional
        Called with the row numbers of each minibatch (copies, width) and the stack, when the stack has the gradient of
        the minibatch and its parameters have not changed yet. Steps are not recorded then.
    record : callable, optional
        How steps are recorded, see `dvbench.training.repeated_steps`. The optimiser must do the same in every step.
    """
    x, y = x.detach(), y.detach()  # data that require gradients would be followed by autograd
    steps = RepeatedSteps(None if on_gradient is not None else record)
    active, step = copies, 0

    def take(stack: Stack, rows: torch.Tensor, features: torch.Tensor, *rest: torch.Tensor) -> None:
        with products_in(precision, x.device):
            stack.accumulate_gradient(features, _loss_gradient(*rest))
        if on_gradient is not None:
            on_gradient(rows, stack)
        optimiser.step(stack)

    for points, weights in minibatches:
        if points.shape[1] < active.copies:
            active = active[: points.shape[1]]
        at_once = max(1, GATHERED_NUMBERS // (points[0].numel() * x[0].numel()))
        for rows, row_weights in zip(points.split(at_once), weights.split(at_once), strict=True):
            if weigh is not None:
                row_weights = weigh(rows, row_weights)
            gathered = rows, gather(x, rows), gather(y, rows).transpose(2, 3), row_weights.unsqueeze(2)
            for rows_of_step, features, *rest in zip(*(part.unbind() for part in gathered), strict=True):
                if on_step is not None:
                    on_step(step)
                features = features if augment is None else augment(features)
                steps.take(rows_of_step.shape, partial(take, active, rows_of_step), features, *rest)
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
    coalitions: Sequence[torch.Tensor], batch_size: int, epochs: int, seed: int, y: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the minibatches of all coalitions, some steps at a time. Each coalition is shuffled anew in every epoch.

    Each coalition is shuffled by its own generator, and all generators start from the same seed. So the minibatches of
    a coalition do not depend on the other coalitions in the list, and coalitions of the same size are shuffled in the
    same way. Smaller coalitions have fewer steps and end earlier. Orders are drawn on the CPU, whatever the device, and
    those of many steps are moved together.

    Parameters
    ----------
    coalitions : sequence of torch.Tensor of int64, each (k,) with k >= 1
        Row numbers, sorted from the largest coalition to the smallest.
    batch_size, epochs : int
    seed : int
    y : torch.Tensor
        A tensor of the device and dtype of the weights.

    Yields
    ------
    points : torch.Tensor of int64, shape (steps, active, width)
        Minibatches, in consecutive steps of one shape, of the coalitions that have steps left. Minibatches shorter than
        the longest of their step are padded.
    weights : torch.Tensor of shape (steps, active, width)
        Weight of each point's loss: one over the size of its minibatch, and 0 for padding.
    """
    sizes = np.array([len(coalition) for coalition in coalitions])
    epoch_steps, width = -(-sizes // batch_size), min(batch_size, len(coalitions[0]))
    distinct, of_size = np.unique(-sizes, return_inverse=True)
    shuffles = [_Shuffles(size, -(-size // batch_size) * width, epochs, seed) for size in (-distinct).tolist()]
    members = torch.cat(list(coalitions)).to(y.device)
    layout = torch.from_numpy(np.stack([of_size, np.cumsum(sizes) - sizes])).to(y.device)
    for start in range(0, epochs * int(epoch_steps[0]), PREFETCHED_STEPS):
        steps = np.arange(start, min(start + PREFETCHED_STEPS, epochs * int(epoch_steps[0])))[:, None]
        counts = np.clip(sizes - steps % epoch_steps * batch_size, 0, width) * (steps < epochs * epoch_steps)
        active = (counts > 0).sum(axis=1)
        orders = np.zeros((of_size[active[0] - 1] + 1, len(steps), width), dtype=np.int32)
        for order, shuffle in zip(orders, shuffles, strict=False):  # those of smaller coalitions have ended
            shuffle.write(order.reshape(-1), start * width)
        points, weights = _padded(orders, counts[:, : active[0]], members, layout[:, : active[0]], y)
        shapes = np.stack([active, counts.max(axis=1)], axis=1)
        changes = np.flatnonzero((shapes[1:] != shapes[:-1]).any(axis=1)) + 1
        for first, end in pairwise([0, *changes.tolist(), len(shapes)]):
            copies, longest = shapes[first].tolist()
            yield points[first:end, :copies, :longest], weights[first:end, :copies, :longest]


def _padded(
    orders: np.ndarray, counts: np.ndarray, members: torch.Tensor, layout: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and weights of some steps, (steps, copies, width), from orders (sizes, steps, width) of each size."""
    of_size, first = layout
    places = torch.from_numpy(orders).to(y.device).index_select(0, of_size) + first[:, None, None]
    points = gather(members, places.transpose(0, 1))
    sizes = torch.from_numpy(counts).to(y.device).unsqueeze(2)
    is_point = torch.arange(points.shape[2], device=y.device) < sizes
    weights = torch.where(is_point, 1 / sizes.double(), 0.0).to(y)
    # Pad with a point of the same minibatch: the features of another coalition's point could be infinite.
    return torch.where(is_point, points, points[:, :, :1]), weights


class _Shuffles:
    """The orders of coalitions of one size in all epochs, each of which has ``period`` places and fills the first.

    Parameters
    ----------
    size, period, epochs, seed : int
    """

    def __init__(self, size: int, period: int, epochs: int, seed: int) -> None:
        self._size, self._period, self._epochs = size, period, epochs
        self._generator = torch_generator(seed)
        self._drawn, self._order = 0, np.empty(0, dtype=np.int64)

    def write(self, row: np.ndarray, begin: int) -> None:
        """Write the places from ``begin`` on into a row of zeros. Rows are asked for one after the other."""
        for epoch in range(begin // self._period, min(self._epochs, -(-(begin + len(row)) // self._period))):
            if epoch == self._drawn:
                self._order = torch.randperm(self._size, generator=self._generator).numpy()
                self._drawn += 1
            place = epoch * self._period - begin
            part = self._order[max(0, -place) : len(row) - place]
            row[max(0, place) : max(0, place) + len(part)] = part
