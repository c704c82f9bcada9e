"""CHG Shapley: the points of the highest Shapley values of a game of losses and gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dvbench.selecting.contract import Points, ValueStrategy
from dvbench.selecting.gradients import gradient_shapley_values


@dataclass(frozen=True)
class CHGShapley(ValueStrategy):
    """CHG Shapley: highest Shapley values of how near a mean of loss times gradient is to that of the class.

    At every selection a point's feature is its loss times the gradient of its loss with respect to the last layer. The
    utility of a coalition is U(S) = ||a||^2 - ||a - mean over S||^2, with a the mean of the features of the class. Its
    Shapley values have a closed form.

    Notes
    -----
    Variant: weights are 1, as in the authors' code and the later version of the paper. The paper's Algorithm 2 first
    had values as weights, which is ``weights = "normalised"``.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    Algorithm 2.
    """

    per_class: bool = True

    def values(self, points: Points) -> torch.Tensor:
        """Shapley values of the game of loss times gradient."""
        return gradient_shapley_values(points.gradients.scaled(points.losses))
