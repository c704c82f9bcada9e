"""KNN Shapley."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval.dataval import KNNShapley

from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.requirements import require_classes

LABELS_AT_ONCE = 2**24


class ChunkedKNNShapley(KNNShapley):
    """OpenDataVal's KNN Shapley, given the validation set in chunks: its memory is players x chunk x classes."""

    x_valid: torch.Tensor
    y_valid: torch.Tensor
    data_values: np.ndarray

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> ChunkedKNNShapley:
        """Take the data, gathering data sets into tensors."""
        require_classes("knn_shapley", x_train, y_train)
        return super().input_data(as_tensor(x_train), as_tensor(y_train), as_tensor(x_valid), as_tensor(y_valid))

    def train_data_values(self, *args: Any, **kwargs: Any) -> ChunkedKNNShapley:
        """Compute the values, a mean over validation points, chunk by chunk."""
        x, y = self.x_valid, self.y_valid
        chunk = max(1, LABELS_AT_ONCE // self.y_train.numel())
        total = np.zeros(len(self.x_train))
        try:
            for rows in torch.arange(len(x)).split(chunk):
                self.x_valid, self.y_valid = x[rows], y[rows]
                super().train_data_values(*args, **kwargs)
                total += self.data_values * len(rows)
        finally:
            self.x_valid, self.y_valid = x, y
        self.data_values = total / len(x)
        return self


def knn_shapley(k_neighbors: int = 10, random_state: int | np.random.RandomState | None = None) -> KNNShapley:
    """KNN Shapley: exact Shapley values of a nearest-neighbour classifier, without any training.

    Parameters
    ----------
    k_neighbors : int
    random_state : int or RandomState, optional
        Not used: the values are exact.

    Returns
    -------
    KNNShapley
        OpenDataVal's, with bounded memory.

    References
    ----------
    R. Jia et al. Efficient task-specific data valuation for nearest neighbor algorithms. VLDB 2019.
    """
    return ChunkedKNNShapley(k_neighbors, batch_size=1024, random_state=as_random_state(random_state))
