"""Unlearning by gradient ascent: the plain, one coalition at a time version.

Starting from the model trained on all data, minimise, over minibatches of the forget set S and of the reachable set T,

    L = - CE(S) + lambda1 ||theta - theta_full||^2 + lambda2 KL(f_theta || f_theta_full)(T)

(Ma et al., "Losing is for Cherishing", section 3.3). T stands in for the retain set, which may be out of reach. Batch
normalisation keeps its statistics and dropout is off: the network stays in evaluation mode.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from dvbench.models.heads import all_features_and_logits, features_and_logits, last_linear
from dvbench.models.losses import divergences, point_losses
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
        What moves: every parameter, or the last linear layer's.
    """

    steps: int = 100
    batch_size: int = 32
    lr: float = 2e-5
    weight_decay: float = 0.01
    lambda1: float = 1.0
    lambda2: float = 1.0
    parameters: Parameters = "all"


class Unlearner:
    """Unlearns coalitions from one trained model.

    Parameters
    ----------
    network : torch.nn.Module
        The model trained on all players, with a linear last layer. It is not changed.
    x, y : torch.Tensor
        The players' features (n, ...) and targets (n, outputs).
    x_reachable, y_reachable : torch.Tensor
        The reachable set.
    ascent : Ascent

    Attributes
    ----------
    count : int
        Coalitions unlearned so far.
    """

    def __init__(
        self,
        network: nn.Module,
        x: torch.Tensor,
        y: torch.Tensor,
        x_reachable: torch.Tensor,
        y_reachable: torch.Tensor,
        ascent: Ascent,
    ) -> None:
        network = copy.deepcopy(network).eval().requires_grad_(True)
        device = next(network.parameters()).device
        x, x_reachable = x.to(device), x_reachable.to(device)
        features, logits = all_features_and_logits(network, x_reachable)
        if ascent.parameters == "head":
            # Below the head nothing moves, so features are computed once and the head is the whole network.
            x, x_reachable = all_features_and_logits(network, x)[0], features
            network = last_linear(network)
        self.network = network
        self.x, self.y = x, y.to(device)
        self.x_reachable, self.y_reachable = x_reachable, y_reachable.to(device)
        self.logits_full = logits
        self.ascent = ascent
        self.count = 0

    def logits_without(self, coalition: np.ndarray, seed: int) -> torch.Tensor:
        """Logits on the reachable set of a model that has unlearned a coalition.

        Parameters
        ----------
        coalition : numpy.ndarray of int, shape (k,)
            Players to forget. With none, the full model's logits.
        seed : int
            Seed of the minibatches.

        Returns
        -------
        torch.Tensor of shape (n_reachable, outputs)

        Raises
        ------
        FloatingPointError
            If gradient ascent diverged.
        """
        if len(coalition) == 0:
            return self.logits_full.clone()
        logits = all_features_and_logits(self.unlearn(coalition, seed), self.x_reachable)[1]
        if not bool(logits.isfinite().all()):
            raise FloatingPointError(
                f"unlearning diverged at learning rate {self.ascent.lr:g}: lower it, or take fewer steps than "
                f"{self.ascent.steps}"
            )
        return logits

    def unlearn(self, coalition: np.ndarray, seed: int) -> nn.Module:
        """Copy of the full model (or of its head) that has unlearned a coalition of at least one player."""
        ascent, generator = self.ascent, torch_generator(seed)
        network = copy.deepcopy(self.network)
        parameters = list(network.parameters())
        start = [parameter.detach().clone() for parameter in parameters]
        optimiser = torch.optim.AdamW(parameters, lr=ascent.lr, weight_decay=ascent.weight_decay, fused=True)
        members = torch.as_tensor(coalition, dtype=torch.long)
        for _ in range(ascent.steps):
            forget = members[_draw(len(members), ascent.batch_size, generator)]
            keep = _draw(len(self.x_reachable), ascent.batch_size, generator)
            loss = -point_losses(features_and_logits(network, self.x[forget])[1], self.y[forget]).mean()
            logits = features_and_logits(network, self.x_reachable[keep])[1]
            loss = loss + ascent.lambda2 * divergences(logits, self.logits_full[keep], self.y_reachable).mean()
            distance = torch.stack([(p - s).square().sum() for p, s in zip(parameters, start, strict=True)]).sum()
            loss = loss + ascent.lambda1 * distance
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        self.count += 1
        return network


def _draw(size: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    """Indices of a minibatch, with replacement. Equal draws pick like positions whatever the size of the set."""
    return (torch.rand(batch_size, generator=generator) * size).long()
