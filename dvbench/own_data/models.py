"""Makes the model of a valuation of what the user gives: a name, a network, an estimator of scikit-learn, a model."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import numpy as np
import torch
from opendataval.model import Model
from opendataval.model.api import TorchModel
from torch import nn

from dvbench.errors import UserError
from dvbench.problems.problem import Problem
from dvbench.settings import ModelSettings, Training
from dvbench.training.build import build_model, check_outputs
from dvbench.training.tensor_model import TensorModel
from dvbench.training.tensors import as_tensor


def model_for(model: Any, problem: Problem, training: Training, seed: int, device: str) -> tuple[Any, dict[str, Any]]:
    """Make a model for a problem, and the arguments of its ``fit``.

    Parameters
    ----------
    model : str, torch.nn.Module, estimator of scikit-learn or opendataval.model.Model
        It is copied.
    problem : Problem
    training : Training
        How networks are trained.
    seed : int
        Seed of the weights of a named model, and of the order of minibatches.
    device : str
        Device of networks.

    Raises
    ------
    UserError
        If it is no model, or does not fit the data.
    """
    shape, outputs = problem.shape, problem.outputs
    if isinstance(model, str):
        settings, decay = ModelSettings(name=model), training.weight_decay
        named = build_model(settings, shape, outputs, problem.kind, seed=seed, weight_decay=decay, device=device)
        return named, dict(training.fit)
    if isinstance(model, Model):
        return copy.deepcopy(model), dict(training.fit) if isinstance(model, TorchModel) else {}
    if isinstance(model, nn.Module):
        network = copy.deepcopy(model)
        _check_weights(type(model).__name__, network)
        check_outputs(type(model).__name__, network, shape, outputs)
        made: TensorModel = TensorModel(network, problem.kind, outputs, seed, training.weight_decay).to(device)
        return made, dict(training.fit)
    if is_estimator(model):
        return Estimator(model, outputs if problem.kind == "classification" else None), {}
    raise UserError(
        f"{type(model).__name__} is no model: give a name of 'dvbench list models', a torch.nn.Module, an estimator of "
        "scikit-learn, or a model of OpenDataVal"
    )


def _check_weights(name: str, network: nn.Module) -> None:
    weights = list(network.parameters())
    if not weights:
        raise UserError(f"model '{name}' has no weights that can be trained: give a network with layers")
    if any(isinstance(weight, nn.parameter.UninitializedParameter) for weight in weights):
        raise UserError(f"model '{name}' has lazy layers without weights: pass some points through it first")
    kinds = {weight.dtype for weight in weights if weight.is_floating_point()}
    if kinds - {torch.float32}:
        raise UserError(f"model '{name}' has weights of {kinds.pop()}: convert them, with .float()")


def is_estimator(model: Any) -> bool:
    """Whether an object has the interface of scikit-learn's estimators."""
    return all(hasattr(model, name) for name in ("fit", "predict", "get_params")) and not isinstance(model, type)


class Estimator(Model):
    """An estimator of scikit-learn as a model of OpenDataVal.

    OpenDataVal's own wrapper predicts a constant whenever a class is absent from the points that a model is fitted to.
    This one gives the absent class a probability of 0.

    Parameters
    ----------
    estimator : sklearn estimator
        It is copied before it is fitted.
    classes : int, optional
        Number of classes; None for regression.

    Raises
    ------
    UserError
        If it is a classifier for regression data or the other way round, or does not predict probabilities.
    """

    def __init__(self, estimator: Any, classes: int | None) -> None:
        from sklearn.base import is_classifier, is_clusterer, is_outlier_detector

        name = type(estimator).__name__
        if is_clusterer(estimator) or is_outlier_detector(estimator):
            raise UserError(f"{name} predicts neither classes nor numbers: give a classifier or a regressor")
        if is_classifier(estimator) != (classes is not None):
            kinds = ("classification", "regression") if classes is None else ("regression", "classification")
            raise UserError(f"{name} is for {kinds[0]}, but the data are a {kinds[1]}: give another model")
        if classes is not None and not hasattr(estimator, "predict_proba"):
            raise UserError(f"{name} does not predict probabilities: give an estimator with predict_proba")
        self.estimator = estimator
        self.classes = classes
        self.num_classes = classes or 1
        self.fitted: Any = None
        self.labels = np.arange(0)

    def fit(self, x_train: Any, y_train: Any, *args: Any, sample_weight: Any = None, **_: Any) -> Estimator:
        """Fit a copy of the estimator; with no points it predicts 0, and with one class always this class.

        Of fewer points than it has neighbours, all are neighbours.
        """
        from sklearn.base import clone

        x, y = _array(x_train), _array(y_train)
        self.fitted = None
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64).reshape(-1)
        if weights is not None:
            x, y, weights = x[weights > 0], y[weights > 0], weights[weights > 0]
        targets = y.argmax(axis=1) if self.classes is not None else y.reshape(-1)
        self.labels = np.unique(targets) if self.classes is not None else np.arange(1)
        if len(x) == 0 or (self.classes is not None and len(self.labels) < 2):
            return self
        estimator = clone(self.estimator).set_params(**_fewer_neighbours(self.estimator, len(x)))
        weighted = weights is not None and "sample_weight" in inspect.signature(estimator.fit).parameters
        self.fitted = estimator.fit(x, targets, **({"sample_weight": weights} if weighted else {}))
        return self

    def predict(self, x: Any, *_: Any, **__: Any) -> torch.Tensor:
        """Predict probabilities of shape (n, classes), or targets of shape (n, 1)."""
        x = _array(x)
        if self.classes is None:
            predicted = np.zeros(len(x)) if self.fitted is None else self.fitted.predict(x)
            return torch.as_tensor(np.asarray(predicted), dtype=torch.float32).reshape(-1, 1)
        probabilities = np.zeros((len(x), self.classes), dtype=np.float32)
        if self.fitted is not None:
            probabilities[:, self.fitted.classes_] = self.fitted.predict_proba(x)
        elif len(self.labels):
            probabilities[:, self.labels[0]] = 1
        else:
            probabilities[:] = 1 / self.classes
        return torch.from_numpy(probabilities)


def _fewer_neighbours(estimator: Any, points: int) -> dict[str, int]:
    """Parameters of an estimator, or of a step of a pipeline, that ask for more neighbours than there are points."""
    numbers = {name: value for name, value in estimator.get_params().items() if name.split("__")[-1] == "n_neighbors"}
    return {name: points for name, value in numbers.items() if isinstance(value, int) and value > points}


def _array(data: Any) -> np.ndarray:
    """Features or targets as an array of shape (n, columns); an estimator takes points as rows."""
    array: np.ndarray = as_tensor(data).detach().cpu().numpy()
    return array.reshape(len(array), math.prod(array.shape[1:]))
