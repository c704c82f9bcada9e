"""Ascent on the forget set and descent on the validation set in the same step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from dvbench.unlearning.contract import Minibatch, Rule, UnlearningMethod, ascend, descend


@dataclass(frozen=True)
class NegGradPlus(UnlearningMethod):
    """NegGrad+: minimises ``alpha CE(T) - (1 - alpha) CE(S)`` with the forget set S and the validation set T.

    The default rate is tuned, see ``docs/unlearning-rates.md``.

    Parameters
    ----------
    alpha : float
        Weight of the validation set, from 0 to 1.
    steps, batch_size, lr, weight_decay, parameters
        See `dvbench.unlearning.contract.UnlearningMethod`.

    References
    ----------
    M. Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou. Towards unbounded machine unlearning. NeurIPS, 2023,
    arXiv:2302.09880.
    A baseline there, with the retain set.
    """

    version: ClassVar[str] = "0.2.0"

    lr: float = 5e-4
    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is a weight from 0 to 1, not {self.alpha:g}")

    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Ascend on the forget set, descend on the validation set."""
        return self._ascend, self._descend

    def _ascend(self, logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
        return ascend(logits, batch).mul_(1 - self.alpha)

    def _descend(self, logits: torch.Tensor, batch: Minibatch) -> torch.Tensor:
        return descend(logits, batch).mul_(self.alpha)
