"""Ascent that becomes slower once a point is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from dvbench.training.losses import point_losses
from dvbench.unlearning.contract import Minibatch, Rule, UnlearningMethod, ascend, descend


@dataclass(frozen=True)
class NegativePreference(UnlearningMethod):
    """Negative preference optimisation (NPO): ascent in which forgotten points have less weight.

    Minimises the mean of ``2 / beta * log(1 + (p_theta(y|x) / p_full(y|x))^beta)`` over the forget set, plus ``retain``
    times the cross-entropy on the validation set. As beta falls to 0 the first becomes gradient ascent. The probability
    of a text is the product of those of its tokens that count, so one text is one point of the forget set; the
    cross-entropy on the validation set is a mean over tokens.

    The default rate is tuned on problems of points, see ``docs/unlearning-rates.md``; the authors use 1e-5 for
    Llama-2-7B.

    Parameters
    ----------
    beta : float
        How fast the weight of a forgotten point decreases; above 0.
    retain : float
        Weight of the validation set.
    steps, batch_size, lr, weight_decay, parameters
        See `dvbench.unlearning.contract.UnlearningMethod`.

    References
    ----------
    R. Zhang, L. Lin, Y. Bai, S. Mei. Negative preference optimization: from catastrophic collapse to effective
    unlearning. arXiv:2404.05868, 2024. Equation 3, with the retain loss of section 2.
    """

    version: ClassVar[str] = "0.2.0"

    lr: float = 5e-4
    beta: float = 0.1
    retain: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, not {self.beta:g}; PlainAscent is what it would be at 0")

    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Ascend on the forget set, and descend on the validation set if its weight is not 0."""
        return self._forget, self._retain if self.retain else None

    def _forget(self, logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
        # The log-likelihood is minus the loss; the derivative of the outer function is twice a sigmoid.
        ratio = batch.sums_of_texts(point_losses(batch.full, batch.y) - point_losses(logits, batch.y))
        weights = 2 * batch.tokens_per_text * torch.sigmoid(self.beta * ratio)
        return ascend(logits, batch).mul_(weights.unsqueeze(1))

    def _retain(self, logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
        return descend(logits, batch).mul_(self.retain)
