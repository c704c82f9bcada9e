"""TracIn: the points whose gradients have the largest inner products with the mean gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dvbench.selecting.contract import Points, ValueStrategy


@dataclass(frozen=True)
class TracIn(ValueStrategy):
    """TracIn: largest inner products of a point's gradient with the mean gradient of its class.

    Notes
    -----
    Variant: that of the CHG Shapley paper. TracIn itself sums inner products with gradients of test points over
    checkpoints.

    References
    ----------
    G. Pruthi, F. Liu, S. Kale, M. Sundararajan. Estimating training data influence by tracing gradient descent. NeurIPS
    2020, arXiv:2002.08484.
    """

    per_class: bool = True

    def values(self, points: Points) -> torch.Tensor:
        """Inner products with the mean gradient."""
        return points.gradients.dots(points.gradients.mean())
