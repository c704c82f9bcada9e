"""AdamW for parameters that are held near those with which they start, as unlearning methods need it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import torch

from dvbench.training.optimisers import BETAS, AdamW
from dvbench.training.stacks import Stack

if TYPE_CHECKING:
    from collections.abc import Callable

# Devices on which one kernel takes the whole step. Elsewhere it is three passes over the memory.
FUSED_ON = ("cuda",)


class AnchoredAdamW(AdamW):
    """AdamW on a loss to which ``anchor * |parameters - start|^2`` is added.

    On a GPU one kernel adds the gradient of the distance and takes the step, so each number is read and written once.
    Elsewhere the gradient of the distance is written first, and that of the loss is accumulated in it.

    Parameters
    ----------
    stack : Stack
        All copies have the same parameters, the start.
    lr, weight_decay, anchor : float
    """

    def __init__(self, stack: Stack, lr: float, weight_decay: float, anchor: float) -> None:
        super().__init__(stack, lr, weight_decay)
        self.anchor = anchor
        self.start = [parameter[:1].clone() for parameter in stack.parameters]
        self._fused_step = _fused_step(stack.parameters) if anchor else None
        self._betas = self.start[0].new_tensor(BETAS, dtype=torch.float64)

    def restart(self, stack: Stack) -> None:
        """Put the whole stack that was given to the constructor back to the start."""
        for parameter, start in zip(stack.parameters, self.start, strict=True):
            parameter.copy_(start)
        for moment in (*self.moments[0], *self.moments[1], self.step_counts[0]):
            moment.zero_()

    def write_distance(self, stack: Stack) -> float:
        """Write what the gradient of the loss is added to, into the gradients; return its factor."""
        if not self.anchor or self._fused_step:
            return 0.0
        for parameter, start, gradient in zip(stack.parameters, self.start, stack.gradients, strict=True):
            torch.sub(parameter, start, out=gradient)
        return 2 * self.anchor

    def step(self, stack: Stack) -> None:
        """Update the stack that was given to the constructor, or a view of its first copies."""
        if self._fused_step is None:
            super().step(stack)
            return
        self.step_counts[0] += 1
        corrections = 1 - self._betas ** self.step_counts[0].double()
        for i, start in enumerate(self.start):
            first, second = (moments[i][: stack.copies] for moments in self.moments)
            self._fused_step(
                stack.parameters[i],
                stack.gradients[i],
                first,
                second,
                start,
                self._betas,
                corrections,
                lr=self.lr,
                weight_decay=self.weight_decay,
                anchor=self.anchor,
            )


def _fused_step(parameters: list[torch.Tensor]) -> Callable[..., None] | None:
    """The kernel, if there is Triton on this device and all parameters are in single precision."""
    if parameters[0].device.type in FUSED_ON and {parameter.dtype for parameter in parameters} == {torch.float32}:
        with suppress(ImportError):
            from dvbench.training.anchored_kernel import anchored_step

            return anchored_step
    return None
