"""Gradient ascent without regularisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dvbench.unlearning.contract import Rule, UnlearningMethod, ascend


@dataclass(frozen=True)
class PlainAscent(UnlearningMethod):
    """Gradient ascent on the forget set alone: minimises ``- CE(S)``, and the validation set is not used.

    The default rate is tuned, see ``docs/unlearning-rates.md``.

    Parameters
    ----------
    steps, batch_size, lr, weight_decay, parameters
        See `dvbench.unlearning.contract.UnlearningMethod`.

    References
    ----------
    A. Golatkar, A. Achille, S. Soatto. Eternal sunshine of the spotless net: selective forgetting in deep networks.
    CVPR, 2020, arXiv:1911.04933. A baseline there, "Neg. Grad."
    """

    version: ClassVar[str] = "0.2.0"

    lr: float = 5e-4

    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Ascend on the forget set."""
        return ascend, None
