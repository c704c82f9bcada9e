"""Carries unlearning methods out on models of points, many coalitions at once.

All coalitions start from the same weights and see the same minibatches of the validation set, so their models are one
stack. Batch normalisation keeps its statistics and dropout is off: the network stays in evaluation mode.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import numpy as np
import torch
from torch import nn

from dvbench.randomness import integer_seed, torch_generator
from dvbench.settings import Precision
from dvbench.training.anchored import AnchoredAdamW
from dvbench.training.contract import OutputFunction
from dvbench.training.heads import all_features_and_logits, logits_network, output_layer, require_own_weights
from dvbench.training.precision import products_in
from dvbench.training.repeated_steps import RepeatedSteps, recorder
from dvbench.training.stack_training import gather
from dvbench.training.stacks import LogitGradient, Stack, copies_within, stack, stackable
from dvbench.unlearning.contract import Minibatch, Rule, UnlearningMethod
from dvbench.unlearning.engine import Observer, mean_gradient, require_a_rule, require_convergence
from dvbench.unlearning.minibatches import Minibatches


class StackedUnlearner:
    """Unlearns coalitions of points from one trained model; see `dvbench.unlearning.engine.Unlearner`.

    Parameters
    ----------
    network : torch.nn.Module
        The model trained on all players, with a linear output layer. It is not changed.
    x, y : torch.Tensor
        The players' features (n, ...) and targets (n, outputs).
    x_validation, y_validation : torch.Tensor
        The same of the validation set.
    method : UnlearningMethod
    budget : int, optional
        Bytes that the models unlearned at once may take, see `dvbench.training.stacks.copies_within`.

    Raises
    ------
    UserError
        If the network has no `output_layer`, or uses its weights elsewhere too while the method moves them alone.
    ValueError
        If the method moves low-rank adapters, which only language models have.

    Attributes
    ----------
    outputs_full : torch.Tensor of shape (outputs, n_validation)
        The full model's logits on the validation set.
    at_once : int
        Coalitions that are unlearned together; half as many after memory ran out.
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
            raise ValueError("parameters='lora' works with language models only; choose 'all' or 'head'")
        self._precision: Precision = "tf32" if getattr(network, "precision", "") == "tf32" else "float32"
        network = logits_network(network, x_validation).eval()
        device = next(network.parameters()).device
        x, x_validation = x.detach().to(device), x_validation.detach().to(device)
        layer = output_layer(network, x_validation)
        self.outputs_full = stack(network, 1).all_outputs(x_validation)[0]
        self._whole = network
        if method.parameters == "head":
            # Below the head nothing moves, so features are computed once and the head is the whole network.
            require_own_weights(network, layer, x_validation)
            x, x_validation = (all_features_and_logits(network, points)[0] for points in (x, x_validation))
            network = layer
        self.network = network
        self.x, self.y = x, y.to(device)
        self.x_validation, self.y_validation = x_validation, y_validation.to(device)
        self.method = method
        self.at_once = copies_within(budget, network, x, 2 * method.batch_size) if stackable(network, x) else 1
        self.count = 0
        self._room: _Room | None = None

    def outputs_without(
        self,
        coalitions: Sequence[np.ndarray],
        seed: int,
        points: torch.Tensor | None = None,
        observer: Observer | None = None,
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Logits of models that have unlearned one coalition each; see `dvbench.unlearning.engine.Unlearner`.

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
        inputs = self.x_validation if points is None else self._inputs(points)
        empty = np.array([i for i, coalition in enumerate(coalitions) if len(coalition) == 0], dtype=int)
        others = np.setdiff1d(np.arange(len(coalitions)), empty)
        if len(empty):
            full = self.outputs_full if points is None else stack(self.network, 1).all_outputs(inputs)[0]
            yield empty, full.expand(len(empty), *full.shape)
        while len(others):
            numbers = others[: self.at_once]
            members = [coalitions[number] for number in numbers]
            try:
                copies = self._unlearn(members, seed, None if observer is None else partial(observer, numbers))
                logits = copies.all_outputs(inputs)
            except torch.OutOfMemoryError:
                if len(numbers) == 1:
                    raise
            else:
                finite = copies.finite() & logits.flatten(1).isfinite().all(dim=1)
                require_convergence(self.method, finite, [len(coalition) for coalition in members])
                others = others[len(numbers) :]
                yield numbers, logits
                continue
            self.at_once, self._room = len(numbers) // 2, None
            torch.cuda.empty_cache()

    def unlearn(
        self,
        coalitions: Sequence[np.ndarray],
        seed: int,
        observer: Callable[[int, OutputFunction], None] | None = None,
    ) -> Stack:
        """Copies of the full model (or of its head), each of which has unlearned a coalition of at least one player.

        Parameters are those of `outputs_without`, except that ``observer`` is called without the numbers.
        """
        copies = self._unlearn(coalitions, seed, observer)
        copies.parameters = [parameter.clone() for parameter in copies.parameters]
        return copies

    def _unlearn(
        self, coalitions: Sequence[np.ndarray], seed: int, observer: Callable[[int, OutputFunction], None] | None
    ) -> Stack:
        """Do what `unlearn` does, in memory that the next coalitions use again."""
        method = self.method
        labels = method.labels(self.y.clone(), torch_generator(integer_seed(seed, "labels")))
        if self._room is None or self._room.copies.copies < len(coalitions):
            self._room = _Room(self.network, len(coalitions), method, labels)
        copies, optimiser, labels, steps = self._room.ready(len(coalitions), labels)

        def take(rules: tuple[Rule | None, Rule | None], forget: torch.Tensor, validation: torch.Tensor) -> None:
            beta = optimiser.write_distance(copies)
            with products_in(self._precision, self.x.device):
                self._accumulate(copies, rules, labels, forget, validation, beta)
            optimiser.step(copies)

        for step, (forget, validation) in enumerate(self._minibatches(coalitions, seed)):
            if observer is not None:
                observer(step, lambda points: copies.all_outputs(self._inputs(points)))
            rules = method.rules(step)
            require_a_rule(method, step, *rules)
            steps.take((rules, len(coalitions)), partial(take, rules), forget, validation)
        if observer is not None:
            observer(method.steps, lambda points: copies.all_outputs(self._inputs(points)))
        self.count += len(coalitions)
        return copies

    def _inputs(self, points: torch.Tensor) -> torch.Tensor:
        """Inputs of the unlearned copies: the points, or their features below the head if only the head moves."""
        if self.method.parameters == "head":
            return all_features_and_logits(self._whole, points)[0]
        return points.to(self.x.device)

    def _minibatches(self, coalitions: Sequence[np.ndarray], seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield for each step the points of the forget sets (copies, batch) and of the validation set (batch,)."""
        method = self.method
        minibatches = Minibatches(method.steps, method.batch_size, len(self.x), len(self.x_validation), seed)
        for forget, validation in minibatches.pieces(coalitions, self.x.device):
            yield from zip(forget, validation, strict=True)

    @cached_property
    def _logits_players(self) -> torch.Tensor:
        """The full model's logits on the players' points, (outputs, n)."""
        return stack(self.network, 1).all_outputs(self.x)[0]

    def _accumulate(
        self,
        copies: Stack,
        rules: tuple[Rule | None, Rule | None],
        labels: torch.Tensor,
        forget: torch.Tensor,
        validation: torch.Tensor,
        beta: float,
    ) -> None:
        """Add the gradients of a step's rules to ``beta`` times the present gradients."""
        forget_rule, validation_rule = rules
        batches: list[tuple[torch.Tensor, LogitGradient]] = []
        if forget_rule is not None:
            batch = Minibatch(
                gather(labels, forget).transpose(1, 2), lambda: self._logits_players[:, forget].transpose(0, 1)
            )
            batches.append((gather(self.x, forget), mean_gradient(forget_rule, batch)))
        if validation_rule is not None:
            batch = Minibatch(
                self.y_validation.index_select(0, validation).T.unsqueeze(0),
                lambda: self.outputs_full.index_select(1, validation).unsqueeze(0),
            )
            x_validation = self.x_validation.index_select(0, validation).unsqueeze(0)
            batches.append((x_validation, mean_gradient(validation_rule, batch)))
        if len(batches) == 2 and not isinstance(self.network, nn.Linear):
            # Deeper networks take both minibatches in one pass; all copies of a single layer take the points of the
            # validation set in one large product.
            batches = [_joined(batches, copies.copies)]
        for x, gradient in batches:
            copies.accumulate_gradient(x, gradient, beta)
            beta = 1.0


class _Room:
    """Models that unlearn together, with their optimiser and labels, whose memory is used again and again.

    Steps that were recorded write to this memory.

    Parameters
    ----------
    network : torch.nn.Module
    copies : int
        The most coalitions at a time.
    method : UnlearningMethod
    labels : torch.Tensor of shape (n, outputs)
    """

    def __init__(self, network: nn.Module, copies: int, method: UnlearningMethod, labels: torch.Tensor) -> None:
        self.copies = stack(network, copies)
        self.optimiser = AnchoredAdamW(self.copies, method.lr, method.weight_decay, method.anchor)
        self.labels = labels
        self.steps = RepeatedSteps(recorder(network))

    def ready(self, count: int, labels: torch.Tensor) -> tuple[Stack, AnchoredAdamW, torch.Tensor, RepeatedSteps]:
        """Return the first copies, which are at their start again, with all that their steps need."""
        self.optimiser.restart(self.copies)
        return self.copies[:count], copy.copy(self.optimiser), self.labels.copy_(labels), self.steps


def _joined(batches: Sequence[tuple[torch.Tensor, LogitGradient]], copies: int) -> tuple[torch.Tensor, LogitGradient]:
    """Join two minibatches into one; the second is the same for all copies."""
    (x, first), (common, second) = batches
    size = x.shape[1]

    def both(logits: torch.Tensor) -> torch.Tensor:
        return torch.cat([first(logits[:, :, :size]), second(logits[:, :, size:])], dim=2)

    return torch.cat([x, common.expand(copies, *common.shape[1:])], dim=1), both
