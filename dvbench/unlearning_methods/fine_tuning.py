"""Further training without the forget set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dvbench.unlearning.contract import Rule, UnlearningMethod, descend


@dataclass(frozen=True)
class FineTuning(UnlearningMethod):
    """Fine-tuning on the validation set: the forget set is not used, so the model forgets it only by chance.

    The default rate is tuned, see ``docs/unlearning-rates.md``.

    Parameters
    ----------
    steps, batch_size, lr, weight_decay, parameters
        See `dvbench.unlearning.contract.UnlearningMethod`.

    References
    ----------
    A. Golatkar, A. Achille, S. Soatto. Eternal sunshine of the spotless net: selective forgetting in deep networks.
    CVPR, 2020, arXiv:1911.04933. A baseline there, which trains on the retain set.
    """

    version: ClassVar[str] = "0.2.0"

    lr: float = 2e-4

    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Descend on the validation set."""
        return None, descend
