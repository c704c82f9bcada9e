"""Gradient ascent that stays near the full model: the method of the Unlearning Shapley paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from dvbench.training.losses import divergence_gradients
from dvbench.unlearning.contract import Minibatch, Rule, UnlearningMethod, ascend


@dataclass(frozen=True)
class GradientAscent(UnlearningMethod):
    """Gradient ascent with regularisers: ascent on the forget set, near the full model in parameters and in outputs.

    Minimises ``- CE(S) + lambda1 ||theta - theta_full||^2 + lambda2 KL(f_theta || f_theta_full)(T)`` with the forget
    set S and the validation set T. The default rate, like all defaults, is the paper's for Fashion-MNIST; one that was
    tuned as those of the other methods is in ``docs/unlearning-rates.md``.

    Parameters
    ----------
    lambda1 : float
        Weight of the squared distance to the full model's parameters.
    lambda2 : float
        Weight of the divergence from the full model's outputs on the validation set.
    steps, batch_size, lr, weight_decay, parameters
        See `dvbench.unlearning.contract.UnlearningMethod`.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Section 3.2, equation 5.
    """

    version: ClassVar[str] = "0.2.0"

    lambda1: float = 1.0
    lambda2: float = 1.0

    @property
    def anchor(self) -> float:
        """Weight of the squared distance to the full model's parameters."""
        return self.lambda1

    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Ascend on the forget set; approach the full model's outputs on the validation set."""
        # At the start the gradient of the divergence is 0 up to rounding. AdamW would turn the rounding errors into
        # full steps of those weights that have no gradient on the forget set.
        return ascend, self._hold if step and self.lambda2 else None

    def _hold(self, logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
        return divergence_gradients(logits, batch.full, batch.y).mul_(self.lambda2)
