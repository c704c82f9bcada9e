"""Which evaluators can value which targets."""

from __future__ import annotations

from typing import Any

from dvbench.errors import UserError
from dvbench.models.losses import is_classification
from dvbench.models.tensors import as_tensor


def require_classes(evaluator: str, y: Any) -> None:
    """Raise a `UserError` unless targets are one-hot labels."""
    if not is_classification(as_tensor(y)):
        raise UserError(f"{evaluator} compares class labels and cannot value regression data; choose another evaluator")
