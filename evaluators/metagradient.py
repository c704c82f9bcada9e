"""Metagradient: the exact derivative of the validation loss after training with respect to each point's weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch

from dvbench.training.vector_jacobian import vector_jacobian
from evaluators.common.replay import Replay, ReplayedEvaluator


class Metagradient(ReplayedEvaluator):
    """Metagradient: exact derivative of the validation loss after training by each point's weight in the training loss.

        phi_i = - d L(theta_T(w); validation) / d w_i    at w = 1,

    where w_i multiplies the loss of point i in all its minibatches, L is the mean loss on the validation set and
    theta_T are the weights after all steps of AdamW, its moments and weight decay included. So to first order phi_i is
    by how much the validation loss rises if point i is left out, with the same minibatches. Positive values are of
    points that lower the loss; the unit is that of the loss, and there are no bounds. Estimates from gradients along a
    training (TracIn, In-Run Data Shapley) approximate this number.

    The training is gone through backwards, with second derivatives of the loss. That takes about as long as eight fits,
    and memory for the weights of about 2 sqrt(T) of T steps, three times each; more than 2 GiB of them are refused. It
    takes no texts, and no networks with batch normalisation or dropout.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.

    Notes
    -----
    Variant: plain reverse-mode differentiation of the training that all evaluators share, not the paper's lazy tree and
    without its smoothing of AdamW: where the gradient of a parameter is near zero, the derivative of AdamW's step is
    large. Tested against finite differences of trainings with other weights.

    Values: rise of the validation loss without the point, in its unit and without bounds; positive values are useful.

    Takes: classifications and regressions, points and subsets; no texts.

    Between processors: equal up to rounding, which long trainings at a high learning rate amplify.

    References
    ----------
    L. Engstrom, A. Ilyas, B. Chen, A. Feldmann, W. Moses, A. Madry. Optimizing ML training with metagradient descent.
    arXiv:2503.13751, 2025. Section 2.

    D. Maclaurin, D. Duvenaud, R. Adams. Gradient-based hyperparameter optimization
    through reversible learning. ICML 2015.
    """

    name: ClassVar[str] = "metagradient"

    # The registry reads parameters from the source of this file.
    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state)

    def _shares(
        self, replay: Replay, x_valid: torch.Tensor, y_valid: torch.Tensor
    ) -> Iterator[tuple[int, torch.Tensor]]:
        states = replay.backwards()
        last = next(states)[1].leaves()
        loss = replay.losses(last.weights, x_valid, y_valid).mean()
        adjoint = list(torch.autograd.grad(loss, last.tensors, materialize_grads=True))
        for step, before in states:
            leaves = before.leaves()
            importance, gradient = replay.gradient(leaves.weights, step)
            after = replay.next_state(leaves, gradient, step)
            inputs = [importance, *leaves.tensors]
            by_point, *adjoint = vector_jacobian(after.tensors, adjoint, inputs)
            yield step, -by_point
