"""Adam TracIn: TracIn with the steps that AdamW made, in place of plain gradient steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch

from dvbench.training.optimisers import BETAS
from dvbench.training.vector_jacobian import vector_jacobian
from evaluators.common.replay import Replay, ReplayedEvaluator


class AdamTracIn(ReplayedEvaluator):
    """Adam TracIn: how much each point's share of the steps that AdamW made lowered the validation loss, first order.

    AdamW's step t, apart from weight decay, is ``-r_t * m_t``: the rate r_t of each parameter, from the second moment,
    times the first moment m_t, a sum of the gradients of this and earlier steps with decaying factors. Those are means
    of gradients of points. So every step splits into shares of points, for r_t as it was, and

        phi_i = sum over t of <grad L(theta_t; validation), r_t * share of point i in m_t>.

    A value is the drop of the mean validation loss L that a point's gradients caused, in the loss's unit, without
    bounds; negative values are of points that raised it. The values sum to the first-order estimate of what all steps
    together did, without weight decay. A point counts also in later steps, where AdamW still carries its gradient.

    The training is gone through backwards, which takes about as long as six fits and one pass over the validation set
    in every step, and memory for the weights of about 2 sqrt(T) of T steps, three times each; more than 2 GiB of them
    are refused. It takes no texts, and no networks with batch normalisation or dropout.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Source of the order of minibatches, if the model has no seed of its own.

    Notes
    -----
    Variant: TracIn's ideal form with one checkpoint at every step. Other than in LESS, a point's share of later steps
    by way of the first moment is counted, not only its share of its own step, and r_t is that of the whole minibatch.
    Tested against shares of the first moment that were computed from gradients of single points, and by its sum.

    Values: drop of the validation loss, in its unit and without bounds; positive values lower it.

    Takes: classifications and regressions, points and subsets; no texts.

    Between processors: equal up to rounding.

    References
    ----------
    G. Pruthi, F. Liu, S. Kale, M. Sundararajan. Estimating training data influence by tracing gradient descent. NeurIPS
    2020, arXiv:2002.08484. Section 3.1.

    M. Xia et al. LESS: selecting influential data for targeted instruction tuning. ICML 2024, arXiv:2402.04333. Section
    3.1.
    """

    name: ClassVar[str] = "adam_trac_in"

    # The registry reads parameters from the source of this file.
    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state)

    def _shares(
        self, replay: Replay, x_valid: torch.Tensor, y_valid: torch.Tensor
    ) -> Iterator[tuple[int, torch.Tensor]]:
        states = replay.backwards()
        carried = [torch.zeros_like(part) for part in next(states)[1].weights]
        for step, before in states:
            weights = before.leaves().weights
            towards = torch.autograd.grad(
                replay.losses(weights, x_valid, y_valid).mean(), weights, materialize_grads=True
            )
            importance, gradient = replay.gradient(weights, step)
            with torch.no_grad():
                rates = replay.rates(replay.next_state(before, gradient, step).second, step)
                # What a unit of gradient in this step does to the loss, by this step and by all later ones.
                carried = [BETAS[0] * c + r * t for c, r, t in zip(carried, rates, towards, strict=True)]
            (share,) = vector_jacobian(gradient, carried, [importance])
            yield step, (1 - BETAS[0]) * share.double()
