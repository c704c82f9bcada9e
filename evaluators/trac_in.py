"""TracIn: what training on some data did to the loss on the validation set, told from gradients."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from opendataval.dataval import DataEvaluator, ModelMixin
from opendataval.model import GradientModel

from dvbench.problems.subsets import Subsets
from dvbench.randomness import random_state as as_random_state
from dvbench.training.language_model import LanguageModel
from dvbench.training.tensor_model import TensorModel
from dvbench.training.tensors import as_tensor
from evaluators.common.gradients import inner_product


class TracIn(DataEvaluator, ModelMixin):
    """TracIn: inner products of training gradients with the validation set's, summed over the checkpoints of a training.

        phi_i = sum over checkpoints c of  lr <grad L(theta_c; validation), grad l(theta_c; i)> / n

    with L the mean loss on the validation set, l the loss on a point, and a checkpoint at the end of every epoch: to
    first order, by how much steps along a player's gradient have lowered the loss. Subsets have the sums over their
    points. Of texts, l is the negative log-probability summed over tokens, and n counts tokens.

    Parameters
    ----------
    checkpoints : {"all", "last"}
        The ends of all epochs, or of the last one only: that is the plain gradient dot product.
    random_state : int or RandomState, optional
        Not used: given the training nothing here is random.

    References
    ----------
    G. Pruthi, F. Liu, S. Kale, M. Sundararajan. Estimating training data influence by tracing gradient descent.
    NeurIPS 2020, arXiv:2002.08484. Section 3.3, TracInCP.
    """

    takes_subsets = True

    def __init__(
        self,
        checkpoints: Literal["all", "last"] = "all",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if checkpoints not in ("all", "last"):
            raise ValueError(f"checkpoints is 'all' or 'last', not {checkpoints!r}")
        self.checkpoints = checkpoints
        self.random_state = as_random_state(random_state)

    def train_data_values(self, *args: Any, epochs: int = 1, lr: float = 3e-4, **kwargs: Any) -> TracIn:
        """Train the model, and value at its checkpoints.

        OpenDataVal's own models cannot be watched while they train: they are fitted one epoch at a time, which starts
        their optimiser anew with every epoch.

        Parameters
        ----------
        epochs : int
        lr : float
        *args, **kwargs
            For the model's ``fit``: ``batch_size``.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to the data seen before
        model, x, y = self.pred_model.clone(), self.x_train, self.y_train
        everywhere = self.checkpoints == "all"

        def value() -> list[float]:
            return self._inner_products(model).tolist()

        if isinstance(model, LanguageModel):
            callback_data = [as_tensor(part) for part in (self.x_valid, self.y_valid)]
            note = value if everywhere else None
            model.fit(x, y, *args, epochs=epochs, lr=lr, on_epoch=note, callback_data=callback_data, **kwargs)
            found = model.epoch_results[1:]  # what was noted before the first epoch is of the untrained model
        elif isinstance(model, TensorModel):
            found = []
            append = (lambda: found.append(value())) if everywhere else None
            model.fit(x, y, *args, epochs=epochs, lr=lr, on_epoch=append, **kwargs)
            found = found[1:]
        else:
            found = []
            for epoch in range(int(epochs)):
                found += [value()] if everywhere and epoch else []
                model.fit(x, y, *args, epochs=1, lr=lr, **kwargs)
        self.values_ = lr * np.sum([*found, value()], axis=0)
        return self

    def _inner_products(self, model: GradientModel) -> np.ndarray:
        """Inner product of every player's gradient with the mean over the validation set, (players,)."""
        x, y = self.x_train, self.y_train
        x_validation, y_validation = as_tensor(self.x_valid), as_tensor(self.y_valid)
        if isinstance(model, LanguageModel):
            towards, tokens = model.loss_gradient(x_validation, y_validation)
            products, counts = [], []
            for player in range(len(x)):  # one gradient at a time: they are as large as the model
                gradient, count = model.loss_gradient(_texts(x[player]), _texts(y[player]))
                products.append(inner_product(towards, gradient))
                counts.append(count)
            return np.array(products) / (tokens * sum(counts))
        towards = [
            sum(parts) / len(x_validation) for parts in zip(*model.grad(x_validation, y_validation), strict=True)
        ]
        gradients = model.grad(as_tensor(x), as_tensor(y))
        points = np.array([inner_product(towards, one) for one in gradients])
        points /= len(points)
        return _summed(points, x.members) if isinstance(x, Subsets) else points

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        return self.values_


def _texts(player: torch.Tensor) -> torch.Tensor:
    """A player's texts (k, ...), which may be a single one."""
    return player if player.ndim > 1 else player.unsqueeze(0)


def _summed(points: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    """Values of points, which come group by group, summed over each group."""
    return np.array([part.sum() for part in np.split(points, np.cumsum([len(group) for group in members])[:-1])])
