"""A training with AdamW that is gone through backwards, one differentiable step after the other.

The weights before a step, and AdamW's moments, are needed again in reverse order. Those of every k-th step are kept,
and the steps between two of them are taken again when they are needed, so that of T steps about 2 sqrt(T) states are in
memory at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch.func import functional_call

from dvbench.errors import DeclinedError, UserError
from dvbench.training.losses import point_losses
from dvbench.training.optimisers import BETAS, EPSILON
from dvbench.training.stack_training import stacked_minibatches
from dvbench.training.stacks import mixes_points
from dvbench.training.tensor_model import TensorModel
from evaluators.common.stepwise import StepwiseEvaluator, at_least_one_epoch

MOST_BYTES = 2**31  # of the states in memory
Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class State:
    """Weights and AdamW's moments, one tensor for each trained parameter."""

    weights: Tensors
    first: Tensors
    second: Tensors

    @property
    def tensors(self) -> Tensors:
        """All of them."""
        return (*self.weights, *self.first, *self.second)

    def leaves(self) -> State:
        """The same numbers as leaves of a new graph."""
        return State(*(tuple(p.detach().requires_grad_() for p in part) for part in vars(self).values()))


class ReplayedEvaluator(StepwiseEvaluator):
    """Base class of evaluators that go through a training backwards, and add to the values of its points in each step.

    Attributes
    ----------
    name : str
        Name of the evaluator, for messages.
    """

    name: ClassVar[str]

    def train_data_values(
        self, *args: Any, epochs: int = 1, batch_size: int = 32, lr: float = 3e-4, **training: Any
    ) -> Self:
        """Train the model, and go through the training backwards.

        Parameters
        ----------
        epochs : int
            At least 1.
        batch_size : int
        lr : float
        """
        epochs = at_least_one_epoch(self.name, epochs)
        model, x, y, x_valid, y_valid = self._prepared()
        replay = Replay(self.name, model, x, y, batch_size, epochs, lr)
        values = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for step, shares in self._shares(replay, x_valid, y_valid):
            values.index_add_(0, replay.rows[step].to(x.device), shares.to(values))
        self._keep(values)
        return self

    def _shares(
        self, replay: Replay, x_valid: torch.Tensor, y_valid: torch.Tensor
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield every step from the last to the first, and what it adds to the values of its points, (batch,)."""
        raise NotImplementedError


class Replay:
    """The training of a model, as `TensorModel.fit` does it, in steps that can be differentiated.

    Parameters
    ----------
    evaluator : str
        Its name, for messages.
    model : TensorModel
        Before training. It is not changed.
    x, y : torch.Tensor of shape (n, ...) and (n, outputs)
        On the model's device.
    batch_size, epochs : int
    lr : float

    Raises
    ------
    DeclinedError
        If a point's loss depends on its minibatch or on chance.
    UserError
        If the states of the training do not fit into 2 GiB.
    """

    def __init__(
        self, evaluator: str, model: TensorModel, x: torch.Tensor, y: torch.Tensor, batch_size: int, epochs: int,
        lr: float,
    ) -> None:  # fmt: skip
        if mixes_points(model.network.train(), x):
            raise DeclinedError(
                f"{evaluator} goes through the training backwards, which batch normalisation and dropout do not allow; "
                "choose another model or another evaluator"
            )
        self.network, self.x, self.y, self.lr, self.decay = model.network, x, y.to(x), lr, model.weight_decay
        self.names = [name for name, p in model.network.named_parameters() if p.requires_grad]
        minibatches = stacked_minibatches([torch.arange(len(x))], batch_size, epochs, model.seed, x)
        self.rows = [rows for steps, _ in minibatches for (rows,) in steps]
        self.every = max(1, math.isqrt(len(self.rows)))
        weights = self._trained()
        size = 3 * sum(p.numel() * p.itemsize for p in weights) * (len(self.rows) // self.every + self.every)
        if size > MOST_BYTES:
            raise UserError(
                f"{evaluator} would keep {size / 2**30:.1f} GiB of weights of {len(self.rows)} steps, and at most "
                f"{MOST_BYTES / 2**30:.0f} are allowed; choose a smaller model, larger minibatches or fewer epochs"
            )
        model.fits.count += 1

    def _trained(self) -> Tensors:
        named = dict(self.network.named_parameters())
        return tuple(named[name].detach().clone() for name in self.names)

    def losses(self, weights: Sequence[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Losses of points under given weights, shape (n,)."""
        logits = functional_call(self.network, dict(zip(self.names, weights, strict=True)), (x,))
        return point_losses(logits, y.to(logits))

    def gradient(self, weights: Sequence[torch.Tensor], step: int) -> tuple[torch.Tensor, Tensors]:
        """A step's gradient, and what weighs its points in it: ones, of shape (batch,), in the gradient's graph.

        The weights must be leaves.
        """
        rows = self.rows[step].to(self.x.device)
        importance = self.x.new_ones(len(rows)).requires_grad_()
        loss = (importance * self.losses(weights, self.x[rows], self.y[rows])).mean()
        return importance, torch.autograd.grad(loss, list(weights), create_graph=True, materialize_grads=True)

    def next_state(self, state: State, gradient: Sequence[torch.Tensor], step: int) -> State:
        """The state after a step with a gradient; it can be differentiated."""
        first = tuple(m * BETAS[0] + g * (1 - BETAS[0]) for m, g in zip(state.first, gradient, strict=True))
        second = tuple(v * BETAS[1] + g * g * (1 - BETAS[1]) for v, g in zip(state.second, gradient, strict=True))
        rates = self.rates(second, step)
        weights = tuple(
            w * (1 - self.lr * self.decay) - rate * m for w, rate, m in zip(state.weights, rates, first, strict=True)
        )
        return State(weights, first, second)

    def rates(self, second: Sequence[torch.Tensor], step: int) -> Tensors:
        """What a step multiplies the first moment by, for every parameter."""
        scale, bias = self.lr / (1 - BETAS[0] ** (step + 1)), math.sqrt(1 - BETAS[1] ** (step + 1))
        return tuple(scale / (_root(v) / bias + EPSILON) for v in second)

    def _forward(self, state: State, first: int, last: int) -> Iterator[State]:
        """States after the steps from first to last - 1."""
        for step in range(first, last):
            _, gradient = self.gradient([w.requires_grad_() for w in state.weights], step)
            with torch.no_grad():
                state = self.next_state(state, gradient, step)
            yield State(*(tuple(p.detach() for p in part) for part in vars(state).values()))

    def backwards(self) -> Iterator[tuple[int, State]]:
        """Yield the number and the state after the last step, then the number of and the state before every step.

        Raises
        ------
        FloatingPointError
            If training diverged.
        """
        weights = self._trained()
        zeros = tuple(torch.zeros_like(w) for w in weights)
        state, kept, steps = State(weights, zeros, zeros), list[State](), len(self.rows)
        for start in range(0, steps, self.every):
            kept.append(state)
            *_, state = self._forward(state, start, min(start + self.every, steps))
        if not all(bool(p.isfinite().all()) for p in state.weights):
            raise FloatingPointError(f"training diverged at learning rate {self.lr:g}; lower it")
        yield steps, state
        for start in reversed(range(0, steps, self.every)):
            first = kept.pop()
            states = [first, *self._forward(first, start, min(start + self.every, steps) - 1)]
            while states:
                yield start + len(states) - 1, states.pop()


def _root(squares: torch.Tensor) -> torch.Tensor:
    """Square roots, with derivative 0 at 0: a second moment is 0 only where all gradients of all points were."""
    positive = squares > 0
    return torch.where(positive, squares, 1).sqrt() * positive
