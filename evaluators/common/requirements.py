"""Checks whether an evaluator can value the points and targets that it is given."""

from __future__ import annotations

from typing import Any

from dvbench.errors import UserError
from dvbench.training.losses import is_classification
from dvbench.training.tensors import as_tensor


def require_features(evaluator: str, x: Any) -> None:
    """Raise a `UserError` if points are sequences of tokens: a distance between token numbers means nothing."""
    if not as_tensor(x).is_floating_point():
        raise UserError(f"{evaluator} reads features or labels and cannot value texts; choose another evaluator")


def require_classes(evaluator: str, x: Any, y: Any) -> None:
    """Raise a `UserError` unless points have features and targets are one-hot labels."""
    require_features(evaluator, x)
    if not is_classification(as_tensor(y)):
        raise UserError(f"{evaluator} compares class labels and cannot value regression data; choose another evaluator")
