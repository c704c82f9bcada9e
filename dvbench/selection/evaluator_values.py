"""The points of the highest values of an evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from dvbench.selecting.contract import Points, ValueStrategy


@dataclass(frozen=True)
class EvaluatorValues(ValueStrategy):
    """Evaluator values: an evaluator values all points once, before training, and those of the highest values are kept.

    Parameters
    ----------
    evaluator : str
        Name of an evaluator, or ``module:Class``.
    params : mapping
        Parameters of its constructor.
    """

    evaluator: str = "knn_shapley"
    params: Mapping[str, Any] = field(default_factory=dict)

    reselects: ClassVar[bool] = False

    @property
    def valued_by(self) -> tuple[str, Mapping[str, Any]]:
        """The evaluator and its parameters."""
        return self.evaluator, self.params

    def values(self, points: Points) -> torch.Tensor:
        """The values of the evaluator."""
        if points.values is None:
            raise ValueError(f"there are no values of {self.evaluator}")
        return points.values
