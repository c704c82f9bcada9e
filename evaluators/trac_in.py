"""TracIn: how much training on a player lowered the loss on the validation set, estimated from gradients."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from opendataval.dataval import ModelMixin

from dvbench.randomness import random_state as as_random_state
from dvbench.training.any_model import fit_observed
from dvbench.training.gradients import gradient_products
from dvbench.training.tensors import as_tensor
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_gradients


class TracIn(OwnEvaluator, ModelMixin):
    """TracIn: inner products of training gradients with the validation set's, summed over checkpoints of a training.

        phi_i = sum over checkpoints c of  lr <grad L(theta_c; validation), grad l(theta_c; i)> / n

    with L the mean loss on the validation set, l the loss on a point, n the number of training points, and one
    checkpoint at the end of every epoch. To first order, this is by how much steps along a player's gradient have
    lowered the loss. The value of a subset is the sum over its points. For texts, l is the negative log-probability
    summed over tokens, and n counts tokens.

    Parameters
    ----------
    checkpoints : {"all", "last"}
        The ends of all epochs, or of the last one only, which is the plain gradient dot product.
    random_state : int or RandomState, optional
        Not used: given the training, nothing here is random.

    Notes
    -----
    Variant: the paper's TracInCP with a checkpoint at the end of every epoch, divided by the number of points, because
    a step of training takes a mean gradient. ``lr`` is the same in all epochs, and the gradient is that of the loss and
    not AdamW's step.

    Values: drop of the validation loss, in its unit and without bounds; positive values lower it.

    Takes: classifications, regressions and texts; points and subsets. The model needs gradients.

    Between processors: equal up to rounding.

    References
    ----------
    G. Pruthi, F. Liu, S. Kale, M. Sundararajan. Estimating training data influence by tracing gradient descent.
    NeurIPS 2020, arXiv:2002.08484. Section 3.3, TracInCP.
    """

    takes_subsets = True

    def __init__(
        self,
        checkpoints: Literal["all", "last"] = "all",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if checkpoints not in ("all", "last"):
            raise ValueError(f"checkpoints is 'all' or 'last', not {checkpoints!r}")
        self.checkpoints = checkpoints
        self.random_state = as_random_state(random_state)

    def train_data_values(self, *args: Any, epochs: int = 1, lr: float = 3e-4, **kwargs: Any) -> TracIn:
        """Train the model, and compute values at its checkpoints.

        OpenDataVal's own models are fitted one epoch at a time, see `dvbench.training.any_model.fit_observed`.

        Parameters
        ----------
        epochs : int
        lr : float
        *args, **kwargs
            For the model's ``fit``: ``batch_size``.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        require_gradients("trac_in", self.pred_model)
        model, x, y = self.pred_model.clone(), self.x_train, self.y_train
        validation = [as_tensor(part) for part in (self.x_valid, self.y_valid)]

        def value() -> list[float]:
            products: list[float] = gradient_products(model, x, y, *validation).tolist()
            return products

        observe = value if self.checkpoints == "all" else None
        observed = fit_observed(model, x, y, observe, *args, epochs=epochs, lr=lr, depends_on=validation, **kwargs)
        self.values_: np.ndarray = lr * np.sum([*observed, value()], axis=0)
        return self
