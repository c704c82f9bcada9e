"""Base class of evaluators that value players at the start of every epoch of one training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from opendataval.dataval import ModelMixin

from dvbench.errors import UserError
from dvbench.randomness import random_state as as_random_state
from dvbench.training.any_model import fit_observed
from dvbench.training.tensors import as_tensor
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_features, require_network

CHUNK = 1024  # rows: smaller chunks take more time for each class, larger ones only more memory


def chunks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Views of `CHUNK` consecutive rows, the same rows of every tensor, from the first row to the last."""
    return zip(*(torch.split(tensor, CHUNK) for tensor in tensors), strict=True)


class TrainingDynamics(OwnEvaluator, ModelMixin):
    """Values players at the start of every epoch of one training, and averages the values over epochs.

    Parameters
    ----------
    random_state : int or RandomState, optional
    """

    uses_validation = False

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = as_random_state(random_state)

    @abstractmethod
    def epoch_values(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        """Values for the current parameters of the network, which is in evaluation mode; shape (n,)."""

    def train_data_values(self, *args: Any, epochs: int = 1, **kwargs: Any) -> TrainingDynamics:
        """Train the model and compute values at the start of every epoch.

        OpenDataVal's own models are fitted one epoch at a time, see `dvbench.training.any_model.fit_observed`.

        Parameters
        ----------
        epochs : int
            At least 1.
        *args, **kwargs
            Arguments of the model's ``fit``: ``batch_size``, ``lr``.

        Raises
        ------
        FloatingPointError
            If training diverged.
        """
        if int(epochs) < 1:
            raise UserError(f"{type(self).__name__} values points at the start of every epoch, of which there are none")
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it, and the cache would outlive a change of data
        x, y = as_tensor(self.x_train), as_tensor(self.y_train)
        require_features(type(self).__name__, x)
        require_network(type(self).__name__, self.pred_model)
        model = self.pred_model.clone()
        total = np.zeros(len(x))

        def add_epoch_values() -> None:
            nonlocal total
            total += self.epoch_values(model.eval(), x, y)

        add_epoch_values()
        fit_observed(model, x, y, add_epoch_values, *args, epochs=epochs, **kwargs)
        if not np.isfinite(total).all():
            raise FloatingPointError("the model diverged: its losses are NaN or infinite; use a lower learning rate")
        self.values_ = total / int(epochs)
        return self
