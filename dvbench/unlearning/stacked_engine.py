"""Carries unlearning methods out, many coalitions at once.

All coalitions start from the same weights and see the same minibatches of the validation set, so they are one stack of
models. Batch normalisation keeps its statistics and dropout is off: the network stays in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import numpy as np
import torch
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.training.heads import all_features_and_logits, last_linear, logits_network
from dvbench.training.stack_training import AdamW, gather
from dvbench.training.stacks import LogitGradient, Stack, copies_within, stack, stackable
from dvbench.training.tensors import as_indices
from dvbench.unlearning.contract import Minibatch, Rule, UnlearningMethod

Logits = Callable[[torch.Tensor], torch.Tensor]


class StackedUnlearner:
    """Unlearns coalitions from one trained model.

    Parameters
    ----------
    network : torch.nn.Module
        The model trained on all players, with a linear last layer. It is not changed.
    x, y : torch.Tensor
        The players' features (n, ...) and targets (n, outputs).
    x_validation, y_validation : torch.Tensor
        The same of the validation set.
    method : UnlearningMethod
    budget : int, optional
        Bytes that the models unlearned at once may take, see `dvbench.training.stacks.copies_within`.

    Raises
    ------
    ValueError
        If the network has no linear layer, or its outputs are not those of the last one; or if low-rank adapters are
        to move, which only language models have.

    Attributes
    ----------
    logits_full : torch.Tensor of shape (outputs, n_validation)
        The full model's logits on the validation set.
    most : int
        Coalitions unlearned at once.
    count : int
        Coalitions unlearned so far.
    """

    def __init__(
        self,
        network: nn.Module,
        x: torch.Tensor,
        y: torch.Tensor,
        x_validation: torch.Tensor,
        y_validation: torch.Tensor,
        method: UnlearningMethod,
        budget: int | None = None,
    ) -> None:
        if method.parameters == "lora":
            raise ValueError("only language models are unlearned by 'lora'; choose 'all' or 'head'")
        network = logits_network(network).eval()
        device = next(network.parameters()).device
        x, x_validation = x.to(device), x_validation.to(device)
        features, logits = all_features_and_logits(network, x_validation)
        self.logits_full = stack(network, 1).all_logits(x_validation)[0]
        if not torch.allclose(logits.T, self.logits_full, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise ValueError("what the network puts out are not the outputs of its last linear layer")
        self._whole = network
        if method.parameters == "head":
            # Below the head nothing moves, so features are computed once and the head is the whole network.
            x, x_validation = all_features_and_logits(network, x)[0], features
            network = last_linear(network)
        self.network = network
        self.x, self.y = x, y.to(device)
        self.x_validation, self.y_validation = x_validation, y_validation.to(device)
        self.method = method
        self.most = copies_within(budget, network, x, 2 * method.batch_size) if stackable(network, x) else 1
        self.count = 0

    def logits_without(
        self,
        coalitions: Sequence[np.ndarray],
        seed: int,
        points: torch.Tensor | None = None,
        watch: Callable[[np.ndarray, int, Logits], None] | None = None,
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Logits of models that have unlearned a coalition each.

        Parameters
        ----------
        coalitions : sequence of numpy.ndarray of int
            Players to forget; with none, the full model's logits.
        seed : int
            Seed of the minibatches, the same for all coalitions: what two coalitions see differs no more than they do.
        points : torch.Tensor of shape (m, ...), optional
            Points that logits are wanted of; by default the validation set.
        watch : callable, optional
            Called before every step and after the last: with the numbers of the coalitions that are being unlearned,
            the steps taken, and a function from points (m, ...) to their models' logits (k, outputs, m).

        Yields
        ------
        numbers : numpy.ndarray of int, shape (k,)
            Which coalitions.
        logits : torch.Tensor of shape (k, outputs, n_validation), or (k, outputs, m)

        Raises
        ------
        FloatingPointError
            If unlearning diverged: a parameter or a logit is NaN or infinite.
        """
        seen = self.x_validation if points is None else self._below_head(points)
        nobody = np.array([i for i, coalition in enumerate(coalitions) if len(coalition) == 0], dtype=int)
        somebody = np.setdiff1d(np.arange(len(coalitions)), nobody)
        if len(nobody):
            full = self.logits_full if points is None else stack(self.network, 1).all_logits(seen)[0]
            yield nobody, full.expand(len(nobody), *full.shape)
        for start in range(0, len(somebody), self.most):
            numbers = somebody[start : start + self.most]
            bound = None if watch is None else partial(watch, numbers)
            copies = self.unlearn([coalitions[number] for number in numbers], seed, bound)
            logits = copies.all_logits(seen)
            finite = copies.finite() & logits.flatten(1).isfinite().all(dim=1)
            diverged = [len(coalitions[number]) for number in numbers[~finite.cpu().numpy()]]
            if diverged:
                raise FloatingPointError(
                    f"unlearning diverged for {len(diverged)} of {len(numbers)} coalitions (the first has "
                    f"{diverged[0]} players) at learning rate {self.method.lr:g}: lower it, or take fewer steps than "
                    f"{self.method.steps}"
                )
            yield numbers, logits

    def unlearn(
        self, coalitions: Sequence[np.ndarray], seed: int, watch: Callable[[int, Logits], None] | None = None
    ) -> Stack:
        """Copies of the full model (or of its head), each of which has unlearned a coalition of at least one player.

        Parameters are those of `logits_without`; ``watch`` is not told the numbers.
        """
        method = self.method
        copies = stack(self.network, len(coalitions))
        start = [parameter[:1].clone() for parameter in copies.parameters]
        optimiser = AdamW(copies, method.lr, method.weight_decay)
        forget, keep = self._draws(coalitions, seed)
        labels = method.labels(self.y.clone(), torch_generator(integer_seed(seed, "labels")))
        for step in range(method.steps):
            if watch is not None:
                watch(step, lambda points: copies.all_logits(self._below_head(points)))
            if method.anchor:
                for parameter, origin, gradient in zip(copies.parameters, start, copies.gradients, strict=True):
                    torch.sub(parameter, origin, out=gradient)
            self._accumulate(copies, step, labels, forget[step], keep[step])
            optimiser.step(copies)
        if watch is not None:
            watch(method.steps, lambda points: copies.all_logits(self._below_head(points)))
        self.count += len(coalitions)
        return copies

    def _below_head(self, points: torch.Tensor) -> torch.Tensor:
        """What the copies are given of points: their features below the head, if it is the head that moves."""
        if self.method.parameters == "head":
            return all_features_and_logits(self._whole, points)[0]
        return points.to(self.x.device)

    def _draws(self, coalitions: Sequence[np.ndarray], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Minibatches, with replacement: points to forget (steps, copies, batch) and to keep (steps, batch).

        Equal draws pick like positions whatever the size of a coalition.
        """
        method = self.method
        draws = torch.rand(method.steps, 2, method.batch_size, generator=torch_generator(seed))
        members = [as_indices(coalition, len(self.x)) for coalition in coalitions]
        forget = torch.stack([m[(draws[:, 0] * len(m)).long()] for m in members], dim=1)
        keep = (draws[:, 1] * len(self.x_validation)).long()
        return forget.to(self.x.device), keep.to(self.x.device)

    @cached_property
    def _logits_players(self) -> torch.Tensor:
        """The full model's logits on the players' points, (outputs, n)."""
        return stack(self.network, 1).all_logits(self.x)[0]

    def _accumulate(
        self, copies: Stack, step: int, labels: torch.Tensor, forget: torch.Tensor, keep: torch.Tensor
    ) -> None:
        """Gradients of a step's rules, added to those of the distance from the start if that counts."""
        ascending, keeping = self.method.rules(step)
        if ascending is None and keeping is None:
            raise ValueError(f"{type(self.method).__name__} looks at neither minibatch at step {step}")
        batches: list[tuple[torch.Tensor, LogitGradient]] = []
        if ascending is not None:
            batch = Minibatch(
                gather(labels, forget).transpose(1, 2), lambda: self._logits_players[:, forget].transpose(0, 1)
            )
            batches.append((gather(self.x, forget), mean_gradient(ascending, batch)))
        if keeping is not None:
            batch = Minibatch(
                self.y_validation.index_select(0, keep).T.unsqueeze(0),
                lambda: self.logits_full.index_select(1, keep).unsqueeze(0),
            )
            batches.append((self.x_validation.index_select(0, keep).unsqueeze(0), mean_gradient(keeping, batch)))
        beta = 2 * self.method.anchor
        if len(batches) == 2 and not isinstance(self.network, nn.Linear):
            # Deeper networks take both minibatches in one pass; all copies of a single layer take the points to keep in
            # one large product.
            batches = [_joined(batches, copies.copies)]
        for x, slope in batches:
            copies.accumulate_gradient(x, slope, beta)
            beta = 1.0


def mean_gradient(rule: Rule, batch: Minibatch) -> LogitGradient:
    """A rule's gradient of the mean over a minibatch."""

    def slope(logits: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():  # whichever stack asks: a rule may use autograd
            gradient = rule(logits, batch)
        if not isinstance(gradient, torch.Tensor) or gradient.shape != logits.shape:
            shape = list(gradient.shape) if isinstance(gradient, torch.Tensor) else type(gradient).__name__
            raise ValueError(
                f"a rule must return a tensor of the shape {list(logits.shape)} of its logits, not {shape}"
            )
        return gradient.detach().div_(batch.y.shape[2])

    return slope


def _joined(batches: Sequence[tuple[torch.Tensor, LogitGradient]], copies: int) -> tuple[torch.Tensor, LogitGradient]:
    """Two minibatches, the second of which all copies see, as one."""
    (x, first), (shared, second) = batches
    size = x.shape[1]

    def both(logits: torch.Tensor) -> torch.Tensor:
        return torch.cat([first(logits[:, :, :size]), second(logits[:, :, size:])], dim=2)

    return torch.cat([x, shared.expand(copies, *shared.shape[1:])], dim=1), both
