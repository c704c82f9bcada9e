"""Influence function without the Hessian."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import torch
from opendataval.dataval import InfluenceFunction

from evaluators.common.gradients import inner_product

Gradient = tuple[torch.Tensor, ...]


class SummedInfluence(InfluenceFunction):
    """OpenDataVal's influence, starting anew at every call and with one validation gradient instead of all of them.

    The inner product with each validation point's gradient, summed, is the inner product with their sum; OpenDataVal
    keeps them all, which for a ResNet-18 and 500 points are 22 GB.
    """

    def train_data_values(self, *args: Any, **kwargs: Any) -> SummedInfluence:
        """Train the model and compute the values.

        Parameters
        ----------
        *args, **kwargs
            For the model's ``fit``.
        """
        model = self.pred_model.clone()
        model.fit(self.x_train, self.y_train, *args, **kwargs)
        validation = reduce(_add, model.grad(self.x_valid, self.y_valid))
        self.influence = np.array([inner_product(validation, one) for one in model.grad(self.x_train, self.y_train)])
        return self


def _add(left: Gradient, right: Gradient) -> Gradient:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def influence_function(random_state: int | np.random.RandomState | None = None) -> InfluenceFunction:
    """Influence function: inner product of a point's gradient with the validation set's, without the Hessian.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Not used: given the trained model nothing here is random.

    Returns
    -------
    InfluenceFunction
        OpenDataVal's, mended to start anew when it is trained again, and with memory flat in the validation set.

    References
    ----------
    P. W. Koh, P. Liang. Understanding black-box predictions via influence functions. ICML 2017.
    """
    return SummedInfluence()
