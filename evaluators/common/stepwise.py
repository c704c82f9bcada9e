"""The model of evaluators that follow every step of one training: a `TensorModel`, whatever model was given."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from opendataval.dataval import ModelMixin
from torch import nn

from dvbench.errors import UserError
from dvbench.randomness import random_state as as_random_state
from dvbench.settings import Kind
from dvbench.training.heads import logits_network
from dvbench.training.language_model import LanguageModel
from dvbench.training.losses import is_classification, point_losses
from dvbench.training.tensor_model import TensorModel
from dvbench.training.tensors import as_tensor
from evaluators.common.linear_layers import LinearLayers, LinearLayersOfPoints, LinearLayersOfTexts
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import Layers, require_features, require_network

Data = tuple[torch.Tensor, torch.Tensor]


def steppable_model(evaluator: str, model: Any, x: torch.Tensor, y: torch.Tensor, seed: int) -> TensorModel:
    """Return a copy of a model that can be followed step by step while it trains.

    OpenDataVal's own models show no steps. Their networks are trained as dvbench trains its own, on logits.

    Parameters
    ----------
    evaluator : str
        Its name, for the message.
    model : Model
    x, y : torch.Tensor of shape (n, ...) and (n, outputs)
        Training data.
    seed : int
        Seed of the order of minibatches of a model that has none.

    Raises
    ------
    UserError
        If points are texts, or the model is not a network of torch.
    """
    require_features(evaluator, x)
    require_network(evaluator, model)
    if isinstance(model, TensorModel):
        return model.clone()
    kind: Kind = "classification" if is_classification(y) else "regression"
    device = next(model.parameters()).device
    return TensorModel(logits_network(model, x[:2]).to(device), kind, y.shape[1], seed)


class StepwiseEvaluator(OwnEvaluator, ModelMixin):
    """Base class of evaluators that follow every step of one training.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.
    """

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = as_random_state(random_state)

    def _prepared(self) -> tuple[TensorModel, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The model and its data, on the model's device: x, y, x of the validation set, y of the validation set."""
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it, and the cache would outlive a change of data
        data = [as_tensor(part) for part in (self.x_train, self.y_train, self.x_valid, self.y_valid)]
        seed = int(self.random_state.randint(2**31))
        model = steppable_model(type(self).__name__, self.pred_model, data[0], data[1], seed)
        x, y, x_valid, y_valid = (part.to(model.device) for part in data)
        return model, x, y, x_valid, y_valid

    def _linear_layers(self, layers: Layers, *args: Any, **training: Any) -> tuple[LinearLayers, Data, Data]:
        """The linear layers of the trained model, the training set and the validation set; of points in float64."""
        if isinstance(self.pred_model, LanguageModel):
            self.__dict__.pop("data_values", None)
            x, y, x_valid, y_valid = (
                as_tensor(part) for part in (self.x_train, self.y_train, self.x_valid, self.y_valid)
            )
            return LinearLayersOfTexts(self.pred_model.clone().fit(x, y, *args, **training)), (x, y), (x_valid, y_valid)
        model, x, y, x_valid, y_valid = self._prepared()
        network = copy.deepcopy(model.fit(x, y, *args, **training).network).eval().double()
        x, y, x_valid, y_valid = (part.double() for part in (x, y, x_valid, y_valid))
        return LinearLayersOfPoints(network, layers, x), (x, y), (x_valid, y_valid)

    def _keep(self, values: torch.Tensor) -> None:
        """Keep the values, shape (n,).

        Raises
        ------
        FloatingPointError
            If one is NaN or infinite.
        """
        if not bool(values.isfinite().all()):
            raise FloatingPointError("the model diverged: values are NaN or infinite; use a lower learning rate")
        self.values_: np.ndarray = values.double().numpy(force=True)


def mean_loss(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean loss of points, a number with its graph."""
    return point_losses(network(x), y).mean()


def at_least_one_epoch(evaluator: str, epochs: int) -> int:
    """Return a number of epochs, or raise a `UserError` if it is none."""
    if int(epochs) < 1:
        raise UserError(f"{evaluator} values points by the steps of a training, of which there are none: set epochs")
    return int(epochs)
