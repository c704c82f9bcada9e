"""Unlearning by gradient ascent, many coalitions at once.

Starting from the model trained on all data, minimise, over minibatches of the forget set S and of the reachable set T,

    L = - CE(S) + lambda1 ||theta - theta_full||^2 + lambda2 KL(f_theta || f_theta_full)(T)

(Ma et al., "Losing is for Cherishing", section 3.3). T stands in for the retain set, which may be out of reach. Batch
normalisation keeps its statistics and dropout is off: the network stays in evaluation mode.

All coalitions start from the same weights and see the same minibatches of T, so they are one stack of models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from dvbench.models.descent import AdamW, gather
from dvbench.models.heads import all_features_and_logits, last_linear, logits_network
from dvbench.models.losses import divergence_slopes, residuals
from dvbench.models.stacks import Stack, copies_within, stack, stackable
from dvbench.models.tensors import as_indices
from dvbench.randomness import torch_generator

Parameters = Literal["all", "head"]


@dataclass(frozen=True)
class Ascent:
    """How a coalition is unlearned; the defaults are the paper's for Fashion-MNIST.

    Parameters
    ----------
    steps, batch_size : int
        Optimiser steps, and points of S and of T in each.
    lr, weight_decay : float
        AdamW's. The learning rate decides how strongly a coalition is unlearned.
    lambda1 : float
        Weight of the squared distance to the full model's parameters.
    lambda2 : float
        Weight of the divergence from the full model's outputs on the reachable set.
    parameters : {"all", "head"}
        What moves: every parameter, or the last linear layer's; also those that require no gradient.
    """

    steps: int = 100
    batch_size: int = 32
    lr: float = 2e-5
    weight_decay: float = 0.01
    lambda1: float = 1.0
    lambda2: float = 1.0
    parameters: Parameters = "all"

    def __post_init__(self) -> None:
        if self.parameters not in ("all", "head"):
            raise ValueError(f"parameters is 'all' or 'head', not {self.parameters!r}")
        if self.steps < 1 or self.batch_size < 1 or not self.lr > 0:
            raise ValueError("unlearning takes at least one step, a batch of at least one point, and a rate above 0")


class Unlearner:
    """Unlearns coalitions from one trained model.

    Parameters
    ----------
    network : torch.nn.Module
        The model trained on all players, with a linear last layer. It is not changed.
    x, y : torch.Tensor
        The players' features (n, ...) and targets (n, outputs).
    x_reachable : torch.Tensor
        Features of the reachable set.
    ascent : Ascent
    budget : int, optional
        Bytes that the models unlearned at once may take, see `dvbench.models.stacks.copies_within`.

    Raises
    ------
    ValueError
        If the network has no linear layer, or its outputs are not those of the last one.

    Attributes
    ----------
    logits_full : torch.Tensor of shape (outputs, n_reachable)
        The full model's logits on the reachable set.
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
        x_reachable: torch.Tensor,
        ascent: Ascent,
        budget: int | None = None,
    ) -> None:
        network = logits_network(network).eval()
        device = next(network.parameters()).device
        x, x_reachable = x.to(device), x_reachable.to(device)
        features, logits = all_features_and_logits(network, x_reachable)
        self.logits_full = stack(network, 1).all_logits(x_reachable)[0]
        if not torch.allclose(logits.T, self.logits_full, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise ValueError("what the network puts out are not the outputs of its last linear layer")
        if ascent.parameters == "head":
            # Below the head nothing moves, so features are computed once and the head is the whole network.
            x, x_reachable = all_features_and_logits(network, x)[0], features
            network = last_linear(network)
        self.network = network
        self.x, self.y = x, y.to(device)
        self.x_reachable = x_reachable
        self.ascent = ascent
        self.most = copies_within(budget, network, x, 2 * ascent.batch_size) if stackable(network, x) else 1
        self.count = 0

    def logits_without(self, coalitions: Sequence[np.ndarray], seed: int) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Logits on the reachable set of models that have unlearned a coalition each.

        Parameters
        ----------
        coalitions : sequence of numpy.ndarray of int
            Players to forget; with none, the full model's logits.
        seed : int
            Seed of the minibatches, the same for all coalitions: what two coalitions see differs no more than they do.

        Yields
        ------
        numbers : numpy.ndarray of int, shape (k,)
            Which coalitions.
        logits : torch.Tensor of shape (k, outputs, n_reachable)

        Raises
        ------
        FloatingPointError
            If gradient ascent diverged: a parameter or a logit is NaN or infinite.
        """
        nobody = np.array([i for i, coalition in enumerate(coalitions) if len(coalition) == 0], dtype=int)
        somebody = np.setdiff1d(np.arange(len(coalitions)), nobody)
        if len(nobody):
            yield nobody, self.logits_full.expand(len(nobody), *self.logits_full.shape)
        for start in range(0, len(somebody), self.most):
            numbers = somebody[start : start + self.most]
            copies = self.unlearn([coalitions[number] for number in numbers], seed)
            logits = copies.all_logits(self.x_reachable)
            finite = copies.finite() & logits.flatten(1).isfinite().all(dim=1)
            diverged = [len(coalitions[number]) for number in numbers[~finite.cpu().numpy()]]
            if diverged:
                raise FloatingPointError(
                    f"unlearning diverged for {len(diverged)} of {len(numbers)} coalitions (the first has "
                    f"{diverged[0]} players) at learning rate {self.ascent.lr:g}: lower it, or take fewer steps than "
                    f"{self.ascent.steps}"
                )
            yield numbers, logits

    def unlearn(self, coalitions: Sequence[np.ndarray], seed: int) -> Stack:
        """Copies of the full model (or of its head), each of which has unlearned a coalition of at least one player."""
        ascent = self.ascent
        copies = stack(self.network, len(coalitions))
        start = [parameter[:1].clone() for parameter in copies.parameters]
        optimiser = AdamW(copies, ascent.lr, ascent.weight_decay)
        forget, keep = self._draws(coalitions, seed)
        for step in range(ascent.steps):
            for parameter, origin, gradient in zip(copies.parameters, start, copies.gradients, strict=True):
                torch.sub(parameter, origin, out=gradient)
            # At the start the divergence has no slope. What rounding leaves of one, AdamW would blow up to full steps
            # of the weights that the forget set says nothing of.
            self._pull(copies, forget[step], keep[step], ascent.lambda2 if step else 0.0)
            optimiser.step(copies)
        self.count += len(coalitions)
        return copies

    def _draws(self, coalitions: Sequence[np.ndarray], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Minibatches, with replacement: points to forget (steps, copies, batch) and to keep (steps, batch).

        Equal draws pick like positions whatever the size of a coalition.
        """
        ascent = self.ascent
        draws = torch.rand(ascent.steps, 2, ascent.batch_size, generator=torch_generator(seed))
        members = [as_indices(coalition, len(self.x)) for coalition in coalitions]
        forget = torch.stack([m[(draws[:, 0] * len(m)).long()] for m in members], dim=1)
        keep = (draws[:, 1] * len(self.x_reachable)).long()
        return forget.to(self.x.device), keep.to(self.x.device)

    def _pull(self, copies: Stack, forget: torch.Tensor, keep: torch.Tensor, lambda2: float) -> None:
        """Add the gradients of the other two terms to twice the distance from the start."""
        targets, size = gather(self.y, forget).transpose(1, 2), len(keep)
        full = self.logits_full.index_select(1, keep).unsqueeze(0)
        x, held = gather(self.x, forget), self.x_reachable.index_select(0, keep).unsqueeze(0)

        def ascend(logits: torch.Tensor) -> torch.Tensor:
            return residuals(logits, targets).mul_(-1 / size)

        def hold(logits: torch.Tensor) -> torch.Tensor:
            return divergence_slopes(logits, full, self.y).mul_(lambda2 / size)

        def both(logits: torch.Tensor) -> torch.Tensor:
            return torch.cat([ascend(logits[:, :, :size]), hold(logits[:, :, size:])], dim=2)

        if isinstance(self.network, nn.Linear):
            # All copies of a single layer take the points to keep in one large product.
            copies.pull(x, ascend, beta=2 * self.ascent.lambda1)
            copies.pull(held, hold, beta=1.0)
        else:
            # Deeper networks take both minibatches in one pass.
            joined = torch.cat([x, held.expand(copies.copies, *held.shape[1:])], dim=1)
            copies.pull(joined, both, beta=2 * self.ascent.lambda1)
