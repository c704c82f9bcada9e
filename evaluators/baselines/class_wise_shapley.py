"""Class-wise Shapley."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval.dataval import ClassWiseShapley

from evaluators.common.requirements import require_classes
from evaluators.common.sampling import PermutationSampler


class MendedClassWiseShapley(ClassWiseShapley):
    """OpenDataVal's class-wise Shapley with the right validation points outside a class.

    OpenDataVal picks them by the training set's labels. It also adds to the old values when it is trained again, scores
    a class that the validation set lacks as NaN, and fails on a class of one player.
    """

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> MendedClassWiseShapley:
        """Take the data."""
        require_classes("class_wise_shapley", x_train, y_train)
        return super().input_data(x_train, y_train, x_valid, y_valid)

    def train_data_values(self, *args: Any, **kwargs: Any) -> MendedClassWiseShapley:
        """Compute the values.

        Parameters
        ----------
        *args, **kwargs
            For the model's ``fit``.
        """
        self.data_values = np.zeros(len(self.x_train))
        super().train_data_values(*args, **kwargs)
        return self

    def evaluate(self, y: torch.Tensor, y_hat: torch.Tensor) -> float:
        """Performance; 0 on no points."""
        return super().evaluate(y, y_hat) if len(y) else 0.0

    def _get_class_indices(self, label: int) -> tuple[np.ndarray, ...]:
        return tuple(
            np.flatnonzero(chosen.cpu())
            for classes in (self.train_classes, self.valid_classes)
            for chosen in (classes == label, classes != label)
        )


def class_wise_shapley(
    permutations: int = 10, random_state: int | np.random.RandomState | None = None
) -> ClassWiseShapley:
    """Class-wise Shapley: Shapley values inside a class, of accuracy in the class discounted by that outside it.

    Parameters
    ----------
    permutations : int
        For each class; each costs one fit a player of the class.
    random_state : int or RandomState, optional

    Returns
    -------
    ClassWiseShapley
        OpenDataVal's, mended, with a sampler that neither caches nor truncates.

    References
    ----------
    S. Schoch, H. Xu, Y. Ji. CS-Shapley: class-wise Shapley values for data valuation in classification. NeurIPS 2022.
    """
    return MendedClassWiseShapley(sampler=PermutationSampler(permutations, random_state=random_state))
