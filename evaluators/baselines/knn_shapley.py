"""KNN Shapley."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from opendataval import dataval

from dvbench.number_checks import whole_number
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import require_classes

LABELS_AT_ONCE = 2**24  # numbers in the array of labels that OpenDataVal sorts for one chunk


class KNNShapley(Baseline, dataval.KNNShapley):
    """KNN Shapley: exact Shapley values of a nearest-neighbour classifier, without any training.

    It is applied to the validation set chunk by chunk, which bounds its memory: players x chunk x classes.

    Parameters
    ----------
    k_neighbors : int
        Number of neighbours.
    random_state : int or RandomState, optional
        Not used: the values are exact.

    Notes
    -----
    Variant: the utility and the recursion of the paper (Theorem 1), Euclidean distance, mean over validation
    points. OpenDataVal's values do not sum to the utility of all players if there are fewer players than neighbours;
    here they do.

    Between processors: equal up to rounding.

    References
    ----------
    R. Jia et al. Efficient task-specific data valuation for nearest neighbor algorithms. VLDB 2019.
    """

    version: ClassVar[str] = "0.2.0"

    k_neighbors: int
    x_valid: torch.Tensor
    y_valid: torch.Tensor
    data_values: np.ndarray

    def __init__(self, k_neighbors: int = 10, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(
            whole_number("k_neighbors", k_neighbors), batch_size=1024, random_state=as_random_state(random_state)
        )

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> KNNShapley:
        """Set the data, converted to tensors."""
        require_classes("knn_shapley", x_train, y_train)
        super().input_data(as_tensor(x_train), as_tensor(y_train), as_tensor(x_valid), as_tensor(y_valid))
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> KNNShapley:
        """Compute the values: a mean over validation points, chunk by chunk."""
        x, y, asked = self.x_valid, self.y_valid, self.k_neighbors
        chunk = max(1, LABELS_AT_ONCE // self.y_train.numel())
        total = np.zeros(len(self.x_train))
        # With fewer players than neighbours every player counts 1 / k_neighbors, but OpenDataVal's recursion does not
        # start with that.
        self.k_neighbors = neighbours = min(asked, len(self.x_train))
        try:
            for rows in torch.split(torch.arange(len(x)), chunk):
                self.x_valid, self.y_valid = x[rows], y[rows]
                super().train_data_values(*args, **kwargs)
                total += self.data_values * len(rows)
        finally:
            self.x_valid, self.y_valid, self.k_neighbors = x, y, asked
        self.data_values = total / len(x) * (neighbours / asked)
        return self
