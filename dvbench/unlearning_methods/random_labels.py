"""Training on wrong labels of the forget set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from dvbench.training.losses import is_classification
from dvbench.unlearning.contract import Rule, UnlearningMethod, descend


@dataclass(frozen=True)
class RandomLabels(UnlearningMethod):
    """Random labels: trains on the forget set with wrong labels, and on the validation set with its own.

    Every point gets another class, drawn uniformly once; in a regression, the target of another point. Tokens of texts
    get other tokens as targets, drawn again at every step.

    The default rate is tuned, see ``docs/unlearning-rates.md``.

    Parameters
    ----------
    steps, batch_size, lr, weight_decay, parameters
        See `dvbench.unlearning.contract.UnlearningMethod`.

    References
    ----------
    L. Graves, V. Nagisetty, V. Ganesh. Amnesiac machine learning. AAAI, 2021, arXiv:2010.10981. Section 4, unlearning.
    """

    version: ClassVar[str] = "0.2.0"

    lr: float = 5e-3

    def rules(self, step: int) -> tuple[Rule | None, Rule | None]:
        """Descend on both sets, on the forget set with its new labels."""
        return descend, descend

    def labels(self, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Wrong labels, (n, classes); or shifted targets, (n, 1)."""
        n, classes = y.shape
        if not is_classification(y):
            # One cycle through all points in random order, so that no point keeps its own target.
            order = torch.randperm(n, generator=generator).to(y.device)
            return y[order.roll(1)][order.argsort()]
        shift = torch.randint(1, classes, (n, 1), generator=generator).to(y.device)
        columns = torch.arange(classes, device=y.device)
        return y.gather(1, (columns - shift) % classes)

    def token_labels(self, tokens: torch.Tensor, vocabulary: int, generator: torch.Generator) -> torch.Tensor:
        """Other tokens, (n,)."""
        shift = torch.randint(1, vocabulary, (len(tokens), 1), generator=generator)[:, 0]
        return (tokens + shift) % vocabulary
