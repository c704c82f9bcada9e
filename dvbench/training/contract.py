"""Interfaces of models, which evaluators, tasks and unlearning use for models of points and models of texts.

`dvbench.training.tensor_model.TensorModel` and `dvbench.training.language_model.LanguageModel` are trainable models.
Both train one model per coalition; `TensorModel` trains many of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
import torch

if TYPE_CHECKING:
    from dvbench.settings import Kind
    from dvbench.training.tensor_model import FitStatistics

OutputFunction = Callable[[torch.Tensor], torch.Tensor]
"""Maps points (n, ...) to the outputs of k models, (k, outputs, n)."""


class Models(Protocol):
    """One or several models of the same architecture, after training or unlearning."""

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the outputs on many points, in evaluation mode and without gradients.

        Parameters
        ----------
        x : torch.Tensor of shape (n, ...)

        Returns
        -------
        torch.Tensor of shape (k, outputs, n)
            Logits, or predicted targets of regression. Language models return log-probabilities of tokens, of shape
            (k, length, n).
        """

    def finite(self) -> torch.Tensor:
        """Whether all parameters of each model are finite: bool of shape (k,)."""


@runtime_checkable
class TrainableModel(Protocol):
    """A model that can be trained on all players, or on many coalitions of them.

    Attributes
    ----------
    kind : {"classification", "regression", "language"}
    fits : FitStatistics
        Number and duration of the fits of this model and all its clones.
    """

    @property
    def kind(self) -> Kind:
        """What the model predicts: classes, a number, or tokens."""

    fits: FitStatistics

    def clone(self) -> Self:
        """Return a copy with the same weights. Both count their fits in the same ``fits``."""

    def fit(self, x_train: Any, y_train: Any, *, batch_size: int = ..., epochs: int = ..., lr: float = ...) -> Self:
        """Train from the current weights."""

    def fit_many(
        self,
        x_train: torch.Tensor,
        y_train: torch.Tensor,
        coalitions: Sequence[np.ndarray],
        *,
        batch_size: int = ...,
        epochs: int = ...,
        lr: float = ...,
    ) -> Iterator[tuple[np.ndarray, Models]]:
        """Train a copy on every coalition; yield positions of coalitions and their models."""

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs on many points, see `Models.all_outputs`, with k = 1."""
