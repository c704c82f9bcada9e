"""Trains stacks: every copy on its own coalition, in its own minibatches, by AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from dvbench.randomness import torch_generator
from dvbench.settings import Precision
from dvbench.training.losses import residuals
from dvbench.training.stacks import LogitGradient, Stack

STEPS = 256  # minibatches drawn at once


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
    moving: Sequence[bool] | None = None,
    precision: Precision = "float32",
    weight: torch.Tensor | None = None,
    on_epoch: Callable[[], None] | None = None,
) -> None:
    """Train each copy of a network on its coalition.

    Parameters
    ----------
    copies : Stack
        In training mode.
    x, y : torch.Tensor of shape (n, ...) and (n, outputs)
        On the stack's device.
    coalitions : sequence of torch.Tensor of int64, each (k,) with k >= 1
        A copy's points; from the largest coalition to the smallest.
    batch_size, epochs : int
    lr, weight_decay : float
        AdamW's.
    seed : int
        Seed of the order of minibatches.
    moving : sequence of bool, optional
        Which of the parameters are trained.
    precision : {"float32", "bfloat16"}
        Of the products.
    weight : torch.Tensor of shape (n,), optional
        Weight of each point's loss.
    on_epoch : callable, optional
        Called at the start of every epoch of the first copy.

    Raises
    ------
    FloatingPointError
        If training diverged: a parameter is NaN or infinite.
    """
    optimiser, every = AdamW(copies, lr, weight_decay, moving), -(-len(coalitions[0]) // batch_size)
    lower, active = torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16"), copies
    for step, (points, shares) in enumerate(stacked_minibatches(coalitions, batch_size, epochs, seed)):
        if on_epoch is not None and step % every == 0:
            on_epoch()
        points, shares = points.to(x.device), shares.to(y)  # not to x, which may hold whole numbers
        if len(points) < active.copies:
            active = active[: len(points)]
        targets = gather(y, points).transpose(1, 2)
        shares = shares.unsqueeze(1) if weight is None else (shares * weight[points]).unsqueeze(1)
        with lower:
            active.accumulate_gradient(gather(x, points), _loss_gradient(targets, shares))
        optimiser.step(active)
    diverged = [len(coalitions[int(number)]) for number in (~copies.finite()).nonzero()]
    if diverged:
        raise FloatingPointError(
            f"training diverged for {len(diverged)} of {copies.copies} models (the first has {diverged[0]} points) at "
            f"learning rate {lr:g}; lower it"
        )


def _loss_gradient(targets: torch.Tensor, shares: torch.Tensor) -> LogitGradient:
    """Gradient of the weighted loss with respect to the logits, which is known."""
    return lambda logits: residuals(logits, targets).mul_(shares)


def group_by_size(sizes: np.ndarray, most: int, *, exactly: bool) -> Iterator[np.ndarray]:
    """Which coalitions to train together, at most ``most``: those of like size take like numbers of steps.

    Parameters
    ----------
    sizes : numpy.ndarray of int, shape (k,)
    most : int
    exactly : bool
        Only coalitions of equal size go together.

    Yields
    ------
    numpy.ndarray of int
        Positions in ``sizes``, from the largest coalition to the smallest; empty coalitions apart from others.
    """
    order = np.argsort(-sizes, kind="stable")
    kinds = sizes[order] if exactly else sizes[order] > 0
    for group in np.split(order, np.flatnonzero(kinds[1:] != kinds[:-1]) + 1):
        yield from (group[start : start + most] for start in range(0, len(group), most))


def gather(x: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Points of each copy: (n, ...) and numbers (copies, points) to (copies, points, ...); faster than indexing."""
    return x.index_select(0, points.reshape(-1)).view(*points.shape, *x.shape[1:])


class AdamW:
    """AdamW with torch's defaults, on stacked parameters and their gradients.

    It calls torch's fused kernel directly: `torch.optim.AdamW` spends ten times as long on finding it as a small step
    takes.

    Parameters
    ----------
    stack : Stack
    lr, weight_decay : float
    moving : sequence of bool, optional
        Which of the parameters it moves; by default all.
    """

    def __init__(self, stack: Stack, lr: float, weight_decay: float, moving: Sequence[bool] | None = None) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        self.moving = [i for i in range(len(stack.parameters)) if moving is None or moving[i]]
        self.moments = [[torch.zeros_like(stack.parameters[i]) for i in self.moving] for _ in range(2)]
        self.counts = [torch.zeros((), device=stack.parameters[0].device)] * len(self.moving)

    def step(self, stack: Stack) -> None:
        """Move the stack given at the start, or the first copies of it."""
        if not self.moving:
            return
        if len(self.moments[0][0]) > stack.copies:
            self.moments = [[moment[: stack.copies] for moment in part] for part in self.moments]
        self.counts[0] += 1
        torch._fused_adamw_(
            [stack.parameters[i] for i in self.moving],
            [stack.gradients[i] for i in self.moving],
            self.moments[0],
            self.moments[1],
            [],
            self.counts,
            lr=self.lr,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


def stacked_minibatches(
    coalitions: Sequence[torch.Tensor], batch_size: int, epochs: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What each coalition's model sees in every step: its points in shuffled minibatches, anew each epoch.

    Every coalition is shuffled by a generator that starts from the seed, so what it gets does not depend on what else
    is in the list. Smaller coalitions take fewer steps and drop out first.

    Parameters
    ----------
    coalitions : sequence of torch.Tensor of int64, each (k,) with k >= 1
        From the largest to the smallest.
    batch_size, epochs : int
    seed : int

    Yields
    ------
    points : torch.Tensor of int64, shape (active, width)
        Minibatches of the coalitions that are not done yet; those shorter than the longest are filled up.
    shares : torch.Tensor of shape (active, width)
        One over the size of the minibatch, and 0 where it was filled up.
    """
    width = min(batch_size, len(coalitions[0]))
    feeds = [_feed(coalition, batch_size, width, epochs, seed) for coalition in coalitions]
    steps = [epochs * -(-len(coalition) // batch_size) for coalition in coalitions]
    active = len(coalitions)
    for start in range(0, steps[0], STEPS):
        drawn = [next(feed) for feed, count in zip(feeds, steps, strict=True) if count > start]
        points = torch.nn.utils.rnn.pad_sequence(drawn, padding_value=-1)
        there = points >= 0
        counts = there.sum(dim=2, keepdim=True)
        shares = there.double() / counts.clamp(min=1)
        # With a point of their own: another's could be infinite.
        points = torch.where(there, points, points[:, :, :1]).clamp_(min=0)
        for step, longest in enumerate(counts.amax(dim=(1, 2)).tolist()):
            while steps[active - 1] <= start + step:
                active -= 1
            yield points[step, :active, :longest], shares[step, :active, :longest]


def _feed(members: torch.Tensor, batch_size: int, width: int, epochs: int, seed: int) -> Iterator[torch.Tensor]:
    """Minibatches of one coalition, `STEPS` at a time: (steps, width), filled up with -1."""
    generator = torch_generator(seed)
    steps = -(-len(members) // batch_size)
    missing = steps * width - len(members)
    held: list[torch.Tensor] = []
    for epoch in range(1, epochs + 1):
        order = members[torch.randperm(len(members), generator=generator)]
        held.append((F.pad(order, (0, missing), value=-1) if missing else order).view(steps, width))
        if epoch == epochs or steps * len(held) >= STEPS:
            *whole, last = torch.cat(held).split(STEPS)
            yield from whole
            held = [last]
            if epoch == epochs or len(last) == STEPS:
                yield last
                held = []
