"""Interfaces of models: what evaluators, tasks and unlearning use of models of points and of texts alike.

`dvbench.training.tensor_model.TensorModel` and `dvbench.training.language_model.LanguageModel` are trainable models.
Both train one model for every coalition they are given, `TensorModel` many of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
import torch

if TYPE_CHECKING:
    from dvbench.settings import Kind
    from dvbench.training.tensor_model import Fits

OutputFunction = Callable[[torch.Tensor], torch.Tensor]
"""From points (n, ...) to the outputs of k models on them, (k, outputs, n)."""


class Models(Protocol):
    """One or several models of the same architecture that were trained, or have unlearned something."""

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs on many points, in evaluation mode, without gradients.

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
        """Which of the models have finite parameters only, bool of shape (k,)."""


@runtime_checkable
class TrainableModel(Protocol):
    """A model that can be trained on all players, or on many coalitions of them.

    Attributes
    ----------
    kind : {"classification", "regression", "language"}
    fits : Fits
        How many times this model and its clones were fitted.
    """

    @property
    def kind(self) -> Kind:
        """What the model predicts: classes, a number, or tokens."""

    fits: Fits

    def clone(self) -> Self:
        """Copy with the same weights, which shares the count of fits."""

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
        """Train a copy on every coalition; yields numbers of coalitions with their models."""

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs on many points, see `Models.all_outputs`, with k = 1."""
