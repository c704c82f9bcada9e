"""Class-wise Shapley."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import require_classes
from evaluators.common.sampling import PermutationSampler


class ClassWiseShapley(Baseline, dataval.ClassWiseShapley):
    """Class-wise Shapley: Shapley values within a class, of accuracy on it discounted by accuracy on other classes.

    OpenDataVal's algorithm with another sampler, which neither caches nor truncates, and with four faults corrected.
    OpenDataVal selects the validation points of other classes by the labels of the training set, adds new values to
    old ones when it is trained again, gets NaN for a class that the validation set lacks, and fails on a class with
    one player.

    Parameters
    ----------
    permutations : int
        Number of permutations for each class. Each costs one fit for each player of the class.
    random_state : int or RandomState, optional

    References
    ----------
    S. Schoch, H. Xu, Y. Ji. CS-Shapley: class-wise Shapley values for data valuation in classification. NeurIPS 2022.
    """

    def __init__(self, permutations: int = 10, random_state: int | np.random.RandomState | None = None) -> None:
        self.permutations = permutations
        self.random_state = as_random_state(random_state)
        super().__init__(sampler=PermutationSampler(permutations, random_state=self.random_state))

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> ClassWiseShapley:
        """Set the data, after a check that they have classes."""
        require_classes("class_wise_shapley", x_train, y_train)
        super().input_data(x_train, y_train, x_valid, y_valid)
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> ClassWiseShapley:
        """Compute the values.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.
        """
        self.data_values = np.zeros(len(self.x_train))
        super().train_data_values(*args, **kwargs)
        return self

    def evaluate(self, y: torch.Tensor, y_hat: torch.Tensor) -> float:
        """The metric of predictions; 0 if there are no points."""
        return super().evaluate(y, y_hat) if len(y) else 0.0

    def _get_class_indices(self, label: int) -> tuple[np.ndarray, ...]:
        return tuple(
            np.flatnonzero(chosen.cpu())
            for classes in (self.train_classes, self.valid_classes)
            for chosen in (classes == label, classes != label)
        )
