"""Optimisers of stacked parameters. They call torch's fused kernels directly.

The other work of the ``step`` of an optimiser of torch takes ten times as long as the kernel itself when the parameters
are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from dvbench.training.stacks import Stack

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of AdamW, torch's defaults


class Optimiser(Protocol):
    """What changes the parameters of a stack by their gradients."""

    def step(self, stack: Stack) -> None:
        """Update the stack that was given to the constructor, or a view of its first copies."""


class AdamW:
    """AdamW with torch's defaults, on stacked parameters and their gradients.

    Parameters
    ----------
    stack : Stack
    lr, weight_decay : float
    trainable : sequence of bool, optional
        Whether each parameter is updated; by default all are.
    """

    def __init__(self, stack: Stack, lr: float, weight_decay: float, trainable: Sequence[bool] | None = None) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        self.trained = [i for i in range(len(stack.parameters)) if trainable is None or trainable[i]]
        self.moments = [[torch.zeros_like(stack.parameters[i]) for i in self.trained] for _ in range(2)]
        self.step_counts = [torch.zeros((), device=stack.parameters[0].device)] * len(self.trained)
        self._set_stack(stack)

    def _set_stack(self, stack: Stack) -> None:
        """Keep the tensors that a step changes, so that a step does not collect them again."""
        self._stack = stack
        self.moments = [[moment[: stack.copies] for moment in moments] for moments in self.moments]
        self._parameters = [stack.parameters[i] for i in self.trained]
        self._gradients = [stack.gradients[i] for i in self.trained]

    def step(self, stack: Stack) -> None:
        """Update the stack that was given to the constructor, or a view of its first copies."""
        if not self.trained:
            return
        if stack is not self._stack:
            self._set_stack(stack)
        self.step_counts[0] += 1  # all parameters share one counter
        torch._fused_adamw_(
            self._parameters,
            self._gradients,
            self.moments[0],
            self.moments[1],
            [],
            self.step_counts,
            lr=self.lr,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )


class SGD:
    """Stochastic gradient descent with Nesterov momentum, as torch defines both.

    Parameters
    ----------
    stack : Stack
    lr : float
        Learning rate of the next step; a schedule may change it.
    momentum, weight_decay : float
    trainable : sequence of bool, optional
        Whether each parameter is updated; by default all are.
    """

    def __init__(
        self, stack: Stack, lr: float, momentum: float, weight_decay: float, trainable: Sequence[bool] | None = None
    ) -> None:
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.trained = [i for i in range(len(stack.parameters)) if trainable is None or trainable[i]]
        self.buffers = [torch.zeros_like(stack.parameters[i]) for i in self.trained] if momentum else []

    def step(self, stack: Stack) -> None:
        """Update the stack that was given to the constructor, or a view of its first copies."""
        if not self.trained:
            return
        torch._fused_sgd_(
            [stack.parameters[i] for i in self.trained],
            [stack.gradients[i] for i in self.trained],
            [buffer[: stack.copies] for buffer in self.buffers],
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.lr,
            dampening=0.0,
            nesterov=self.momentum > 0,
            maximize=False,
            is_first_step=False,  # zero buffers and no dampening: the first step is that of torch
        )
