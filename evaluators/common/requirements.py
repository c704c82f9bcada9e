"""Checks whether an evaluator can value the points and targets that it is given."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from torch import nn

from dvbench.errors import DeclinedError, UserError
from dvbench.training.language_model import LanguageModel
from dvbench.training.losses import is_classification
from dvbench.training.tensors import as_tensor

Variant = Literal["paper", "opendataval"]
Layers = Literal["all", "last"]


def checked_variant(variant: Variant) -> Variant:
    """Return whose computation an evaluator does, or raise a `ValueError` if it is neither of the two."""
    if variant not in ("paper", "opendataval"):
        raise ValueError(f"variant is 'paper' or 'opendataval', not {variant!r}")
    return variant


def checked_layers(layers: Layers) -> Layers:
    """Return whose parameters an evaluator looks at, or raise a `ValueError` if it is neither of the two."""
    if layers not in ("all", "last"):
        raise ValueError(f"layers is 'all' or 'last', not {layers!r}")
    return layers


def require_features(evaluator: str, x: Any) -> None:
    """Raise `DeclinedError` if points are sequences of tokens: a distance between token numbers means nothing."""
    if not as_tensor(x).is_floating_point():
        raise DeclinedError(f"{evaluator} reads features or labels and cannot value texts; choose another evaluator")


def require_texts(evaluator: str, x: Any) -> None:
    """Raise `DeclinedError` if points are not sequences of tokens."""
    if as_tensor(x).is_floating_point():
        raise DeclinedError(f"{evaluator} reads texts and cannot value points with features; choose another evaluator")


def require_classes(evaluator: str, x: Any, y: Any) -> None:
    """Raise `DeclinedError` unless points have features and targets are one-hot labels."""
    require_features(evaluator, x)
    if not is_classification(as_tensor(y)):
        raise DeclinedError(
            f"{evaluator} compares class labels and cannot value regression data; choose another evaluator"
        )


def require_finite_features(evaluator: str, *parts: np.ndarray) -> None:
    """Raise a `UserError` if a feature is NaN or infinite: such points have no distance."""
    if not all(np.isfinite(part).all() for part in parts):
        raise UserError(f"{evaluator} cannot compare points: a feature is NaN or infinite")


def require_network(evaluator: str, model: Any) -> None:
    """Raise `DeclinedError` if the model is not a network of torch."""
    if not isinstance(model, nn.Module):
        raise DeclinedError(
            f"{evaluator} needs a network of torch and cannot use {type(model).__name__}; choose another model or "
            "another evaluator"
        )


def require_gradients(evaluator: str, model: Any) -> None:
    """Raise `DeclinedError` if the model does not compute gradients, as OpenDataVal's `GradientModel` does."""
    if not isinstance(model, LanguageModel) and not callable(getattr(model, "grad", None)):
        raise DeclinedError(
            f"{evaluator} needs a model with gradients and cannot use {type(model).__name__}; choose another model or "
            "another evaluator"
        )
