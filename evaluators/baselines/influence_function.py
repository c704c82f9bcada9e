"""Influence function without the Hessian."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import torch
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from dvbench.training.any_model import fit_to_points
from dvbench.training.gradients import inner_product, point_gradients
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import require_gradients

Gradient = tuple[torch.Tensor, ...]


class InfluenceFunction(Baseline, dataval.InfluenceFunction):
    """Gradient dot product: inner product of a point's gradient with the validation set's after training.

    OpenDataVal calls it influence function, and published results have that name. It has no Hessian; the evaluator
    `hessian_influence` has. The sum is over the points of the validation set; a positive value is of a point whose
    gradient lowers the validation loss, and there are no bounds. It costs one fit.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Not used: given the trained model, the values are deterministic.

    Notes
    -----
    Variant: OpenDataVal's, the inner product of gradients without the inverse Hessian that the paper has between them.
    A second training starts anew. Gradients are computed in evaluation mode and with the loss that the model is trained
    with; OpenDataVal fails on its own regression model. The sum of the gradients of all validation points is kept, with
    which the inner product is the same, in place of each gradient: for a ResNet-18 and 500 points those take 22 GB.

    Values: inner product of gradients, without unit or bounds; positive values lower the validation loss.

    Takes: classifications, regressions and texts; points and subsets. The model needs gradients.

    Between processors: equal up to rounding.

    References
    ----------
    P. W. Koh, P. Liang. Understanding black-box predictions via influence functions. ICML 2017, arXiv:1703.04730.
    """

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = as_random_state(random_state)
        super().__init__()

    def input_model(self, pred_model: Any) -> InfluenceFunction:
        """Set the model, after a check that it has gradients."""
        require_gradients("influence_function", pred_model)
        super().input_model(pred_model)
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> InfluenceFunction:
        """Train the model and compute the values.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.
        """
        model = fit_to_points(self.pred_model.clone(), self.x_train, self.y_train, *args, **kwargs)
        validation = reduce(_add, point_gradients(model, self.x_valid, self.y_valid))
        gradients = point_gradients(model, self.x_train, self.y_train)
        self.influence = np.array([inner_product(validation, gradient) for gradient in gradients])
        return self


def _add(left: Gradient, right: Gradient) -> Gradient:
    return tuple(a + b for a, b in zip(left, right, strict=True))
