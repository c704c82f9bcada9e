"""Optimal transport between two samples with entropic regularisation, solved until it has converged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from dvbench.errors import UserError

RIDGE = 1e-9  # makes the dual strictly concave; relative to the curvature of a problem with independent samples
COOLING = 4.0  # ratio of one regularisation to the next
CONVERGED = 1e-2  # in units of the regularisation; steps of Newton's method are halved in digits from here on
STEPS = 500
LARGEST = 1e5  # cost in units of the regularisation; rounding errors of a step exceed CONVERGED from about twice on


@dataclass(frozen=True)
class Transport:
    """The solution of a transport problem.

    Parameters
    ----------
    source : torch.Tensor of shape (n,)
        Dual potential of the points of the first sample: the derivative of the cost with respect to their weights, up
        to a constant.
    target : torch.Tensor of shape (m,)
        Dual potential of the points of the second sample.
    cost : float
        ``sum(plan * cost) + regularisation * KL(plan | uniform)``, which is the mean of both potentials added.
    marginal_error : float
        Sum of absolute differences between the plan's marginals and the weights, 1/n and 1/m.
    regularisation : float
        Weight of the entropy: the one that was asked for, or a larger one if a cost is very large.
    """

    source: torch.Tensor
    target: torch.Tensor
    cost: float
    marginal_error: float
    regularisation: float


def solve_transport(cost: torch.Tensor, regularisation: float) -> Transport:
    """Solve the entropic transport problem between two samples with equal weights.

    Newton's method on the dual with respect to the smaller sample (the potential of the other sample follows from it),
    first with strong regularisation, then with less and less. Sinkhorn's iteration is simpler, and far from convergence
    after thousands of steps where the regularisation is a small part of the cost.

    Where an optimal plan falls apart into pieces, its regularised counterpart joins them by masses that are too small
    for double precision, and so are the differences in cost by which the potentials of one piece are chosen relative to
    those of another. A ridge chooses them: potentials near zero.

    In double precision the ratio of the largest cost to the regularisation is limited: rounding errors of the
    exponents, which grow with it, exceed the ridge. Where it is above 100 thousand, the regularisation is the largest
    cost divided by 100 thousand, so that the solution is still a continuous function of the costs, and proportional to
    them.

    Parameters
    ----------
    cost : torch.Tensor of shape (n, m)
        Costs of transport, in double precision.
    regularisation : float
        Weight of the entropy, in units of the cost. A larger one is used if a cost is more than 100 thousand times as
        large.

    Returns
    -------
    Transport
        Its marginal error is about 1e-7 at ratios up to 1000, and at most about 1e-5 at the largest ratio.

    Raises
    ------
    UserError
        If a cost is infinite or not a number.
    """
    if not bool(cost.isfinite().all()):
        raise UserError("a cost of transport is infinite or not a number: check the features")
    unit = max(float(cost.abs().max()) / (LARGEST * regularisation), 1.0)
    swap = len(cost) < cost.shape[1]
    dual = _anneal((cost.T if swap else cost) / unit, regularisation)
    source, target = (unit * potential for potential in (dual.other, dual.potential))
    return Transport(
        target if swap else source,
        source if swap else target,
        float(source.mean() + target.mean()),
        float((dual.marginal - 1 / len(dual.marginal)).abs().sum()),
        unit * regularisation,
    )


def _anneal(cost: torch.Tensor, regularisation: float) -> _Dual:
    """Maximise the dual with strong regularisation first, then with less and less."""
    potential = cost.new_zeros(cost.shape[1])
    current = max(float(cost.max() - cost.min()), regularisation)
    while True:
        last = current == regularisation
        dual = _maximise(_Dual(cost, current, potential), CONVERGED if last else None)
        if last:
            return dual
        potential, current = dual.potential, max(current / COOLING, regularisation)


class _Dual:
    """The concave dual as a function of the potential of the second sample, with its first two derivatives."""

    def __init__(self, cost: torch.Tensor, regularisation: float, potential: torch.Tensor) -> None:
        self.cost, self.regularisation, self.potential = cost, regularisation, potential
        m = cost.shape[1]
        self.scale = 1 / (m * regularisation)  # curvature of a problem with independent samples
        exponents = (potential - cost).div_(regularisation)
        largest = exponents.amax(dim=1, keepdim=True)
        self.plan = exponents.sub_(largest).exp_()  # rows sum to 1: divided by n, they are the plan
        sums = self.plan.sum(dim=1, keepdim=True)
        self.plan.div_(sums)
        self.other = -regularisation * (largest + sums.log() - math.log(m)).squeeze(1)
        self.marginal = self.plan.mean(dim=0)
        self.value = float(potential.mean() + self.other.mean() - RIDGE * self.scale / 2 * potential.square().sum())
        self.gradient = 1 / m - self.marginal - RIDGE * self.scale * potential

    def curvature(self) -> torch.Tensor:
        """The negative Hessian without the ridge; a rank-one term makes it regular where potentials are constant."""
        between = self.plan.T @ self.plan / len(self.plan)
        return (torch.diag(self.marginal) - between) / self.regularisation + self.scale / len(self.marginal)

    def step(self, curvature: torch.Tensor, damping: float) -> torch.Tensor:
        """A damped Newton step."""
        damped = curvature.clone()
        damped.diagonal().add_((damping + RIDGE) * self.scale)
        return torch.cholesky_solve(self.gradient[:, None], torch.linalg.cholesky(damped)).squeeze(1)


def _maximise(dual: _Dual, tolerance: float | None) -> _Dual:
    """Maximise a dual (Levenberg and Marquardt), until an undamped step is small, or without tolerance only roughly."""
    damping, curvature = 1e-3, dual.curvature()
    for _ in range(STEPS):
        step = dual.step(curvature, damping)
        following = _Dual(dual.cost, dual.regularisation, dual.potential + step)
        expected = float(dual.gradient @ step - step @ (curvature @ step) / 2)
        # A gain below the rounding error of the value cannot be compared with the expected one.
        ratio = (following.value - dual.value) / expected if expected > 1e-11 * abs(dual.value) else 1.0
        if not ratio > 0.05:
            damping *= 8
            continue
        if tolerance is None and float((following.marginal - 1 / len(step)).abs().sum()) < 1e-2:
            return following
        if tolerance is not None and damping < RIDGE and float(step.abs().max()) < tolerance * dual.regularisation:
            return following
        damping *= 0.1 if ratio > 0.7 else 3.0 if ratio < 0.3 else 1.0
        dual, curvature = following, following.curvature()
    raise UserError("optimal transport does not converge: scale the features, their distances are too large")
