"""In-Run Data Shapley: Shapley values of how much each training step lowers the loss on the validation set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from dvbench.errors import UserError
from dvbench.number_checks import whole_number
from dvbench.training.language_model import LanguageModel
from dvbench.training.tensors import as_tensor
from evaluators.common.ghost_products import step_of
from evaluators.common.requirements import Layers, checked_layers
from evaluators.common.stepwise import StepwiseEvaluator, at_least_one_epoch
from evaluators.common.text_steps import values_of_steps


class InRunDataShapley(StepwiseEvaluator):
    """In-Run Data Shapley: Shapley values of the drop of the validation loss in each step of one training, summed.

    In a step with minibatch B and learning rate lr, the utility of a part S of B is the drop of the mean validation
    loss L after the step ``theta - lr * sum over S of g_i``, where g_i is a point's summand in the gradient of the
    minibatch. Its Taylor expansion of first or second order has the exact Shapley values

        phi_i = <g_i, lr grad L>    or    phi_i = <g_i, lr grad L - lr^2 / 2 * Hessian of L * sum over B of g_j>,

    one inner product with one vector for each point. It is one more forward pass of the layers: gradients of single
    points are not computed (`evaluators.common.ghost_products`). A value is a drop of the validation loss, in its unit
    (nats, or half a squared error), and has no bounds; points with a negative value raise the loss. The values of all
    points sum to the estimated drop of plain gradient steps over the training.

    Of texts, g_i is a text's summand in the gradient of the minibatch's mean loss per token, in nats, and L is the mean
    loss per token. Embeddings and normalisations count as well as linear layers. Texts have the first order and all
    layers only.

    It costs one fit, which takes about half as long again as usual for an MLP with minibatches of 128 points, and twice
    as long where a step takes a fraction of a millisecond. For a GPT-2 of two layers of width 64 and minibatches of 16
    texts, it takes 1.6 times as long as usual with one text of the validation set in each step, and twice as long with
    eight.

    Parameters
    ----------
    order : {1, 2}
        Order of the expansion.
    layers : {"all", "last"}
        Gradients with respect to the parameters of all layers, or of the output layer only.
    validation_batch : int
        Points or texts of the validation set in each step; in consecutive steps other ones, until all were used.
    random_state : int or RandomState, optional
        Source of the order of the validation points, and of minibatches if the model has no seed of its own.

    Notes
    -----
    Variant: the paper's, for steps of plain gradient descent, along the training with AdamW that all evaluators share.
    Losses of the validation set are those of evaluation mode. Batch normalisation makes a point's gradient depend on
    its minibatch; it is then that of its summand, with the minibatch's statistics. Tested against gradients of single
    points by `torch.func`, and against exact Shapley values of the step, which the second order equals for linear
    regression; for texts against gradients of single texts by autograd at every step of a training.

    Values: drop of the validation loss, in its unit and without bounds; positive values lower it.

    Takes: classifications, regressions and texts; points and subsets. The model is a network of torch.

    Between processors: equal up to rounding.

    References
    ----------
    J. T. Wang, P. Mittal, D. Song, R. Jia. Data Shapley in one training run. ICLR 2025, arXiv:2406.11011. Sections 4.1
    and 4.2.
    """

    def __init__(
        self,
        order: Literal[1, 2] = 1,
        layers: Layers = "all",
        validation_batch: int = 32,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if order not in (1, 2):
            raise ValueError(f"order is 1 or 2, not {order!r}")
        self.order, self.layers = order, checked_layers(layers)
        self.validation_batch = whole_number("validation_batch", validation_batch)
        super().__init__(random_state)

    def train_data_values(self, *args: Any, epochs: int = 1, lr: float = 3e-4, **training: Any) -> InRunDataShapley:
        """Train the model, and add to the values in every step.

        Parameters
        ----------
        epochs : int
            At least 1.
        lr : float
        *args, **training
            Arguments of the model's ``fit``: ``batch_size``.
        """
        training["epochs"] = at_least_one_epoch("in_run_data_shapley", epochs)
        if isinstance(self.pred_model, LanguageModel):
            return self._value_texts(lr, training)
        model, x, y, x_valid, y_valid = self._prepared()
        values = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        batches = self._validation_batches(len(x_valid))
        with step_of(model.network, x, self.layers) as step:

            def add(points: torch.Tensor, stack: Any) -> None:
                rows = next(batches).to(x.device)
                of_step = step.values(stack, x_valid[rows], y_valid[rows], lr, self.order)
                values.index_add_(0, points[0], of_step.to(values))

            model.fit(x, y, *args, lr=lr, on_gradient=add, **training)
        self._keep(values)
        return self

    def _value_texts(self, lr: float, training: dict[str, Any]) -> InRunDataShapley:
        """The same for a language model.

        Raises
        ------
        UserError
            If the order or the layers are not those that texts have.
        """
        if self.order == 2 or self.layers == "last":
            raise UserError('in_run_data_shapley values texts with order = 1 and layers = "all" only; set them so')
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        x, y, x_valid, y_valid = (as_tensor(part) for part in (self.x_train, self.y_train, self.x_valid, self.y_valid))
        batches = self._validation_batches(len(x_valid))
        self._keep(values_of_steps(self.pred_model.clone(), (x, y), (x_valid, y_valid), batches, lr, **training))
        return self

    def _validation_batches(self, n: int) -> Iterator[torch.Tensor]:
        """Row numbers of the validation points of each step."""
        size, rows = min(self.validation_batch, n), np.empty(0, dtype=np.int64)
        while True:
            if len(rows) < size:
                rows = np.concatenate([rows, self.random_state.permutation(n)])
            yield torch.from_numpy(rows[:size])
            rows = rows[size:]
