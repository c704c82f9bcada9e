"""A student that moves away from its teacher on the forget set only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from dvbench.training.losses import predictions, predicts_classes
from dvbench.unlearning.contract import Minibatch, Rule, UnlearningMethod, descend


@dataclass(frozen=True)
class Scrub(UnlearningMethod):
    """SCRUB: a student moves away from the full model's outputs on the forget set, not on the validation set.

    The full model is the teacher. Steps that increase ``D(teacher, student)`` on the forget set alternate with steps
    that decrease ``alpha D(teacher, student) + gamma CE`` on the validation set. After a fraction of the steps, only
    the latter are taken. The authors alternate epochs, not steps. As in distillation, ``D`` is ``t^2 KL(teacher ||
    student)`` of the predictions at a temperature t, which divides the logits; in a regression the temperature has no
    meaning and is not used.

    The default rate is tuned, see ``docs/unlearning-rates.md``; the authors use 5e-4, for whole epochs.

    Parameters
    ----------
    alpha, gamma : float
        Weights of divergence and cross-entropy on the validation set.
    forgetting : float
        Fraction of the steps in which both alternate, from 0 to 1.
    temperature : float
        Temperature of the divergence; 2 in the authors' experiments on small data sets. At 1 it is the divergence of
        the paper's formulas.
    steps, batch_size, lr, weight_decay, parameters
        See `dvbench.unlearning.contract.UnlearningMethod`.

    References
    ----------
    M. Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou. Towards unbounded machine unlearning. NeurIPS, 2023,
    arXiv:2302.09880.
    Section 3.
    """

    version: ClassVar[str] = "0.2.0"

    lr: float = 5e-3
    alpha: float = 0.5
    gamma: float = 1.0
    forgetting: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.forgetting <= 1:
            raise ValueError(f"forgetting is a fraction from 0 to 1, not {self.forgetting:g}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature:g}")
        if self.forgetting and not any(self._leaves(step) for step in range(self.steps)):
            raise ValueError(f"of {self.steps} steps none would look at the forget set: take more, or forget in more")

    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Alternately ascend on the forget set and descend on the validation set."""
        return (self._move_away, None) if self._leaves(step) else (None, self._follow)

    def _leaves(self, step: int) -> bool:
        # At the start student and teacher agree, so the gradient of the divergence is 0.
        return step % 2 == 1 and step < self.forgetting * self.steps

    def _move_away(self, logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
        """Gradient of minus the divergence of the student from its teacher."""
        if not predicts_classes(logits, batch.y):
            return batch.full - logits
        t = self.temperature
        return (predictions(batch.full / t, batch.y) - predictions(logits / t, batch.y)).mul_(t)

    def _follow(self, logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
        return descend(logits, batch).mul_(self.gamma).sub_(self._move_away(logits, batch), alpha=self.alpha)
