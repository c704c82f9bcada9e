"""Data-OOB."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from opendataval import dataval
from opendataval.dataval.oob.oob import GroupingIndex
from opendataval.metrics import accuracy, neg_mse
from torch.utils.data import Subset

from dvbench.errors import UserError
from dvbench.number_checks import whole_number
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.baseline import Baseline
from evaluators.common.coalitions import few_models, fitted_clone, models_needed
from evaluators.common.joint_training import train_jointly
from evaluators.common.requirements import require_features


class DataOob(Baseline, dataval.DataOob):
    """Data-OOB: mean metric on a point of models trained on bootstrap samples that do not contain the point.

    Parameters
    ----------
    models : int
        Number of bootstrap samples. Each costs one fit.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: the paper's definition. OpenDataVal draws the same bootstrap samples, but leaves out one
    that lacks player 0 alone, and it computes the metric of all predictions for a point together, which is their mean
    for accuracy and mean squared error and not for Euclidean distance. Here the mean is computed.

    Values: accuracy on the point, between 0 and 1, or a negative squared error; low values are of points that models
    get wrong.

    Takes: classifications and regressions, points and subsets; no texts.

    Between processors: equal, unless rounding changes a prediction, and with it a utility by one correct prediction
    (docs/repeatability.md).

    References
    ----------
    Y. Kwon, J. Zou. Data-OOB: out-of-bag estimate as a simple and efficient data value. ICML 2023, arXiv:2304.07718.
    """

    version: ClassVar[str] = "0.2.0"
    uses_validation = False
    takes_subsets = False  # it asks models for predictions on single players, which a subset of points is not

    def __init__(self, models: int = 1000, random_state: int | np.random.RandomState | None = None) -> None:
        self.models = whole_number("models", models)
        super().__init__(num_models=self.models, random_state=as_random_state(random_state))

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> DataOob:
        """Set the data, after a check that they have features and at least two points."""
        require_features("data_oob", x_train)
        if len(x_train) < 2:
            raise UserError("data_oob needs at least 2 players: a bootstrap sample of one player leaves out nobody")
        super().input_data(x_train, y_train, x_valid, y_valid)
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> DataOob:
        """Train on bootstrap samples and predict the points that each of them lacks; a second call starts anew.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If a player is in all bootstrap samples.
        """
        n = self.num_points
        bags = self.random_state.randint(0, n, size=(self.models, self.max_samples))
        outside = np.stack([np.bincount(bag, minlength=n) == 0 for bag in bags])
        lacking = np.flatnonzero(~outside.any(axis=0))
        if len(lacking):
            inside_chance = 1 - (1 - 1 / n) ** self.max_samples
            raise few_models("data_oob", lacking, outside, "in all", models_needed(n, inside_chance))
        pairs = [(bag, np.flatnonzero(out)) for bag, out in zip(bags, outside, strict=True) if out.any()]
        parts = train_jointly(self, lambda: [self._predictions(*pair, *args, **kwargs) for pair in pairs])
        self.oob_pred = torch.cat(parts)
        self._players = np.concatenate([out for _, out in pairs])
        self.oob_indices = GroupingIndex()
        for _, out in pairs:
            self.oob_indices.add_indices(out)
        return self

    def evaluate_data_values(self) -> np.ndarray:
        """Return the mean metric of each point's predictions.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        counts = np.bincount(self._players, minlength=self.num_points)
        self.data_values = np.bincount(self._players, weights=self._metrics(), minlength=self.num_points) / counts
        return self.data_values

    def _metrics(self) -> np.ndarray:
        """Metric of every prediction for its point; OpenDataVal's own metrics of all predictions together."""
        labels, predicted = as_tensor(self.y_train).reshape(self.num_points, *self.label_dim).cpu(), self.oob_pred
        players = torch.from_numpy(self._players)
        if self.metric is accuracy:
            correct: np.ndarray = (labels.argmax(dim=1)[players] == predicted.argmax(dim=1)).numpy()
            return correct
        if self.metric is neg_mse:
            losses: np.ndarray = (labels[players] - predicted).square().flatten(1).mean(dim=1).numpy()
            return -losses
        pairs = zip(self._players.tolist(), range(len(predicted)), strict=True)
        return np.array([self.evaluate(labels[[player]], predicted[[row]]) for player, row in pairs])

    def _predictions(self, bag: Any, outside: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        predicted: torch.Tensor = fitted_clone(self, bag, *args, **kwargs).predict(Subset(self.x_train, outside))
        return predicted.detach().cpu()
