"""What users give to an evaluator: arrays for `fit`, and tensors whose shape and precision do not fit the model.

OpenDataVal's interface takes data as they are. A column of targets without its second dimension is then subtracted from
every prediction, and a network of another precision fails in torch. Here such data are converted, or refused in one
line.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.dataval import ModelMixin
from opendataval.metrics import accuracy, neg_mse
from opendataval.model import Model
from opendataval.model.api import TorchModel
from torch import nn

from dvbench.errors import UserError, one_line
from dvbench.settings import Kind, ModelSettings
from dvbench.training.build import build_model
from dvbench.training.language_model import LanguageModel
from dvbench.training.losses import is_classification
from dvbench.training.tensor_model import TensorModel

KINDS = dict.fromkeys("biu", "number") | dict.fromkeys("OU", "text") | {"f": "float"}  # of labels, by numpy's letters
TRAINING = {"epochs": 20, "batch_size": 32, "lr": 0.01}


class ArrayInput:
    """Mixin, listed before OpenDataVal's classes: data are checked, and `fit` takes arrays.

    Attributes
    ----------
    uses_validation : bool
        Whether the evaluator reads the validation set. If not, it may be empty.
    values_ : numpy.ndarray of shape (n,)
        Data values, after `fit`.
    classes_ : numpy.ndarray of shape (classes,)
        Labels in the order of the columns of one-hot labels, after `fit` to labels.
    """

    uses_validation = True
    values_: np.ndarray
    classes_: np.ndarray

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_input(cls)

    def fit(
        self,
        X: Any,
        y: Any,
        X_valid: Any = None,
        y_valid: Any = None,
        *,
        model: Any = None,
        metric: Callable[[torch.Tensor, torch.Tensor], float] | None = None,
        **training: Any,
    ) -> Self:
        """Value the points of arrays; the values are then in ``values_``.

        Features are taken as they are. Scale them before if their scales differ much.

        Parameters
        ----------
        X, X_valid : array of numbers, shape (n, ...) and (m, ...)
            Features of the points that are valued, and of the validation set: numpy arrays, torch tensors, or what
            numpy can convert. The validation set may be left out if the evaluator does not use one.
        y, y_valid : array
            Class labels of any type but floating point, (n,) or (n, 1); one-hot labels (n, classes); or targets of
            regression in floating point, (n,) or (n, 1).
        model : torch.nn.Module or opendataval.model.Model, optional
            A network returns logits. By default a logistic regression, or a linear regression.
        metric : callable, optional
            Utility of predictions, a function of (targets, predictions). By default accuracy, or the negative mean
            squared error.
        **training
            For the model's ``fit``: ``epochs``, ``batch_size``, ``lr``; by default 20, 32 and 0.01.

        Returns
        -------
        The evaluator.

        Raises
        ------
        UserError
            If the data cannot be used, or a value is NaN or infinite.
        """
        evaluator: Any = self
        if X_valid is None or y_valid is None:
            if self.uses_validation:
                raise UserError(f"{type(self).__name__} needs a validation set: fit(X, y, X_valid, y_valid)")
            X_valid, y_valid = (part[:0] for part in (X, y))
        x, x_valid = _features(X, "X"), _features(X_valid, "X_valid")
        targets, targets_valid = self._targets(y, y_valid)
        evaluator.input_data(x, targets, x_valid, targets_valid)
        if isinstance(self, ModelMixin):
            classes = is_classification(targets)
            evaluator.input_model(_as_model(model, x, targets, evaluator.random_state))
            evaluator.input_metric(metric or (accuracy if classes else neg_mse))
            model_trains = isinstance(evaluator.pred_model, TorchModel)
            training = {**TRAINING, **training} if model_trains else training
        evaluator.train_data_values(**training)
        values = np.asarray(evaluator.evaluate_data_values(), dtype=np.float64)
        if not np.isfinite(values).all():
            raise UserError(
                f"{int((~np.isfinite(values)).sum())} of {len(values)} values are NaN or infinite: the model diverged; "
                "scale the features or lower lr"
            )
        self.values_ = values
        return self

    def _targets(self, y: Any, y_valid: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets of both sets as float32 of shape (n, outputs)."""
        arrays = [_array(part) for part in (y, y_valid)]
        arrays = [a.reshape(-1) if a.ndim == 2 and a.shape[1] == 1 else a for a in arrays]
        first = arrays[0]
        if any(a.ndim not in (1, 2) or a.shape[1:] != first.shape[1:] for a in arrays):
            raise UserError(f"y has shape {arrays[0].shape} and y_valid {arrays[1].shape}; give one label a point")
        kinds = [KINDS.get(a.dtype.kind, "other") for a in arrays]
        if first.ndim == 1 and len(arrays[1]) and kinds[0] != kinds[1] and kinds != ["float", "number"]:
            raise UserError(f"y holds {first.dtype} and y_valid {arrays[1].dtype}; give labels of one type")
        if first.ndim == 1 and first.dtype.kind != "f":
            together = np.concatenate(arrays)
            if together.dtype.kind == "O" and any(label is None or label != label for label in together):
                raise UserError("y or y_valid has missing labels: leave these points out")
            self.classes_, codes = np.unique(
                together.astype(str) if together.dtype.kind == "O" else together, return_inverse=True
            )
            if len(self.classes_) < 2:
                raise UserError(f"all points have the label {self.classes_[0]}: nothing can be learned from one class")
            one_hot = np.eye(len(self.classes_), dtype=np.float32)[codes.reshape(-1)]
            arrays = np.split(one_hot, [len(first)])
        else:
            for name, part in zip(("y", "y_valid"), arrays, strict=True):
                if not np.isfinite(part.astype(np.float64)).all():
                    raise UserError(f"{name} has missing or infinite values: leave these points out")
                if part.ndim == 2 and not (np.isin(part, (0, 1)).all() and (part.sum(axis=1) == 1).all()):
                    raise UserError(f"{name} has {part.shape[1]} columns, which must be one-hot labels")
            if first.ndim == 2:
                self.classes_ = np.arange(first.shape[1])
        tensors = [torch.from_numpy(a.astype(np.float32)) for a in arrays]
        tensors = [part if part.ndim == 2 else part.unsqueeze(1) for part in tensors]
        return tensors[0], tensors[1]


def check_input(cls: type) -> None:
    """Let the methods of an evaluator's class that get data, and that begin to compute, check the data first."""
    for name, check in (("input_data", _with_columns), ("train_data_values", _with_fitting_data)):
        method = getattr(cls, name, None)  # mixins have none
        if method is not None and not getattr(method, "checks_input", False):
            wrapped = check(method)
            wrapped.checks_input = True  # type: ignore[attr-defined]
            setattr(cls, name, wrapped)


def _with_columns(input_data: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method ``input_data`` that gets targets as columns, also if they have one dimension."""

    @wraps(input_data)
    def checked(self: Any, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> Any:
        for name, x, y in (("training", x_train, y_train), ("validation", x_valid, y_valid)):
            if len(x) != len(y):
                raise UserError(f"the {name} set has {len(x)} points and {len(y)} labels")
        if len(x_train) == 0:
            raise UserError("there are no points to value: the training set is empty")
        if isinstance(y_train, torch.Tensor) and isinstance(y_valid, torch.Tensor) and y_train.ndim == 1:
            y_train, y_valid = _columns(y_train, y_valid)
        return input_data(self, x_train, y_train, x_valid, y_valid)

    return checked


def _columns(y: torch.Tensor, y_valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets (n,) as one column, and class numbers (n,) as one-hot labels."""
    if y_valid.ndim != 1 or y.is_floating_point() != y_valid.is_floating_point():
        raise UserError("labels of the training and of the validation set have different shapes or types")
    if y.is_floating_point():
        return y.unsqueeze(1), y_valid.unsqueeze(1)
    both = torch.cat([y, y_valid]).long()
    if int(both.min()) < 0:
        raise UserError(f"class numbers are counted from 0, and one is {int(both.min())}")
    one_hot = F.one_hot(both, max(2, int(both.max()) + 1)).float()
    return one_hot[: len(y)], one_hot[len(y) :]


def _with_fitting_data(train_data_values: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method ``train_data_values`` that begins with a check of the data and the model."""

    @wraps(train_data_values)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "uses_validation", True) and len(self.x_valid) == 0:
            raise UserError(f"{type(self).__name__} measures utility on the validation set, which is empty")
        model = getattr(self, "pred_model", None)
        if isinstance(model, nn.Module) and not isinstance(model, LanguageModel):
            _fit_data_to(model, self)
        return train_data_values(self, *args, **kwargs)

    return checked


def _fit_data_to(model: nn.Module, evaluator: Any) -> None:
    """Convert an evaluator's data to the precision of its network, and check the network's outputs on two points."""
    parameter = next(model.parameters())
    names = [name for name in ("x_train", "y_train", "x_valid", "y_valid") if hasattr(evaluator, name)]
    for name in names:
        data = getattr(evaluator, name)
        if isinstance(data, torch.Tensor) and data.is_floating_point() and data.dtype != parameter.dtype:
            setattr(evaluator, name, data.to(parameter.dtype))
    x, y = evaluator.x_train, evaluator.y_train
    if not (isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor)):
        return
    kind, points = type(getattr(model, "network", model)).__name__, x[:2].to(parameter.device)
    expected = f"it must map {len(points)} points to a tensor of shape ({len(points)}, {y.shape[1]})"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = copy.deepcopy(model).eval()(points)
    except Exception as error:  # a user's network can raise anything
        raise UserError(
            f"{kind} fails on points of shape {tuple(x.shape[1:])}: {one_line(error)}; {expected}"
        ) from error
    if not isinstance(outputs, torch.Tensor):
        raise UserError(f"{kind} returns a {type(outputs).__name__}; {expected}")
    if outputs.shape != (len(points), y.shape[1]):
        raise UserError(f"{kind} maps {len(points)} points to shape {tuple(outputs.shape)}; {expected}")


def _as_model(model: Any, x: torch.Tensor, y: torch.Tensor, state: np.random.RandomState) -> Model:
    """The model of a `fit`: OpenDataVal's as it is, a network in a model that trains it."""
    if isinstance(model, Model):
        return model
    kind: Kind = "classification" if is_classification(y) else "regression"
    seed = int(state.randint(2**31))
    if model is None:
        settings = ModelSettings(name="logistic_regression")
        return build_model(settings, tuple(x.shape[1:]), y.shape[1], kind, seed=seed)
    if isinstance(model, nn.Module):
        if next(model.parameters(), None) is None:
            raise UserError(f"{type(model).__name__} has no parameters: nothing can be trained")
        return TensorModel(copy.deepcopy(model), kind, y.shape[1], seed)
    raise UserError(f"{type(model).__name__} is no model: give a torch.nn.Module or a model of OpenDataVal")


def _array(data: Any) -> np.ndarray:
    return data.numpy(force=True) if isinstance(data, torch.Tensor) else np.asarray(data)


def _features(data: Any, name: str) -> torch.Tensor:
    """Features as a tensor; numbers that are not floating point become float32."""
    array = _array(data)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{name} must hold numbers, not {array.dtype}: encode texts and categories first")
    if array.ndim < 2:
        raise UserError(f"{name} has shape {array.shape}; it must be (points, features)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{name} has missing or infinite values: impute them or leave these points out")
    return torch.tensor(array if array.dtype in (np.float32, np.float64) else array.astype(np.float32))
