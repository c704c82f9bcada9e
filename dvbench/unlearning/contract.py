"""What an unlearning method is: how far to go, and in which direction at every step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from dvbench.training.losses import residuals

Parameters = Literal["all", "head", "lora"]


class Minibatch:
    """Points that a step looks at, of the forget set or of the validation set.

    Parameters
    ----------
    y : torch.Tensor of shape (copies or 1, outputs, points)
        Targets.
    full : callable
        Makes the full model's logits, where a method asks for them.
    """

    def __init__(self, y: torch.Tensor, full: Callable[[], torch.Tensor]) -> None:
        self.y = y
        self._full = full

    @property
    def full(self) -> torch.Tensor:
        """The full model's logits, of the shape of ``y`` up to the copies."""
        return self._full()


Rule = Callable[[torch.Tensor, Minibatch], torch.Tensor]


@dataclass(frozen=True)
class UnlearningMethod(ABC):
    """Base of unlearning methods: AdamW on minibatches of the forget set and of the validation set.

    A method of one's own says by its `rules` what is descended at each step. All forget sets are unlearned together, as
    stacked copies of the model, so rules work on the logits of all copies.

    Parameters
    ----------
    steps, batch_size : int
        Optimiser steps, and points of the forget set and of the validation set in each.
    lr, weight_decay : float
        AdamW's. The learning rate decides how strongly a forget set is unlearned.
    parameters : {"all", "head", "lora"}
        What moves: every parameter, or the last linear layer's; also those that require no gradient. Of language models
        also low-rank adapters of all other layers.
    """

    steps: int = 100
    batch_size: int = 32
    lr: float = 2e-5
    weight_decay: float = 0.01
    parameters: Parameters = "all"

    def __post_init__(self) -> None:
        if self.parameters not in ("all", "head", "lora"):
            raise ValueError(f"parameters is 'all', 'head' or 'lora', not {self.parameters!r}")
        if not isinstance(self.steps, int) or not isinstance(self.batch_size, int):
            raise ValueError(f"steps and batch_size are whole numbers, not {self.steps!r} and {self.batch_size!r}")
        if self.steps < 1 or self.batch_size < 1 or not self.lr > 0:
            raise ValueError("unlearning takes at least one step, a batch of at least one point, and a rate above 0")

    @property
    def anchor(self) -> float:
        """Weight of the squared distance to the full model's parameters."""
        return 0.0

    @abstractmethod
    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Say what is descended at a step.

        Parameters
        ----------
        step : int
            From 0.

        Returns
        -------
        forget, validation : callable or None
            What they make of logits (copies, outputs, points) on a minibatch of the forget set and on one of the
            validation set: a new tensor with the gradient of every point's loss with respect to its logits. None, for
            one of them, if this step does without that minibatch.
        """

    def labels(self, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Targets with which forget sets are unlearned, (n, outputs) as ``y``; by default their own."""
        return y


def ascend(logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
    """Rule that leads away from the labels: gradient of the negative loss."""
    return residuals(logits, batch.y).neg_()


def descend(logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
    """Rule that leads towards the labels: gradient of the loss."""
    return residuals(logits, batch.y)


Method = UnlearningMethod
"""The name of `UnlearningMethod` in dvbench 0.1, which existing packages of methods may import."""
