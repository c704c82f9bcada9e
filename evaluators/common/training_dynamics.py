"""What the evaluators that watch one training have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from opendataval.dataval import DataEvaluator, ModelMixin

from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensor_model import TensorModel
from dvbench.training.tensors import as_tensor
from evaluators.common.requirements import require_features

CHUNK = 1024  # smaller ones cost time per class, larger ones only memory


def chunks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Views of the same few rows of every tensor, from the first row to the last."""
    return zip(*(tensor.split(CHUNK) for tensor in tensors), strict=True)


class TrainingDynamics(DataEvaluator, ModelMixin):
    """Values players at the start of every epoch of one training, and averages.

    Parameters
    ----------
    random_state : int or RandomState, optional
    """

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = as_random_state(random_state)

    @abstractmethod
    def epoch_values(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        """Values in the present state of the network, which is in evaluation mode, shape (n,)."""

    def train_data_values(self, *args: Any, epochs: int = 1, **kwargs: Any) -> TrainingDynamics:
        """Train the model, valuing at the start of every epoch.

        OpenDataVal's own models cannot be watched while they train: they are fitted one epoch at a time, which starts
        their optimiser anew with every epoch.

        Parameters
        ----------
        epochs : int
        *args, **kwargs
            For the model's ``fit``: ``batch_size``, ``lr``.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to the data seen before
        x, y = as_tensor(self.x_train), as_tensor(self.y_train)
        require_features(type(self).__name__, x)
        model = self.pred_model.clone()
        total = np.zeros(len(x))

        def value() -> None:
            nonlocal total
            total += self.epoch_values(model.eval(), x, y)

        if isinstance(model, TensorModel):
            model.fit(x, y, *args, epochs=epochs, on_epoch=value, **kwargs)
        else:
            for _ in range(int(epochs)):
                value()
                model.fit(x, y, *args, epochs=1, **kwargs)
        self.values_ = total / int(epochs)
        return self

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        return self.values_
