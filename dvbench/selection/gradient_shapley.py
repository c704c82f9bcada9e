"""Gradient Shapley: the points of the highest Shapley values of a game of gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dvbench.selecting.contract import Points, ValueStrategy
from dvbench.selecting.gradients import gradient_shapley_values


@dataclass(frozen=True)
class GradientShapley(ValueStrategy):
    """Gradient Shapley: highest Shapley values of how near a mean of gradients is to that of the class.

    CHG Shapley without the loss as a factor.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    per_class: bool = True

    def values(self, points: Points) -> torch.Tensor:
        """Shapley values of the game of gradients."""
        return gradient_shapley_values(points.gradients)
