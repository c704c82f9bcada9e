"""CHG Shapley: closed-form Shapley values of a utility of hardness and gradients, from one training."""

from __future__ import annotations

import numpy as np
import torch

from evaluators.common.gradient_game import GradientGame, chg_shapley_values

__all__ = ["CHGShapley", "chg_shapley_values"]


class CHGShapley(GradientGame):
    """CHG Shapley: Shapley values of how near a coalition's mean of loss times gradient is to that of all players.

    At the start of every epoch a player's feature is its loss times the gradient of its loss with respect to the last
    layer's weights and bias. The closed-form values are averaged over epochs. An epoch takes one forward pass, O(n C H)
    operations more and O(C H) memory beside the values, for n players, C outputs and H inputs of the last layer; with
    ``per_class`` for each class.

    Until all players are processed, residuals and the last layer's inputs are kept on disk: 4 n (C + H) bytes, or
    4 n C if those inputs are the data themselves. The environment variable ``TMPDIR`` names the folder. It should not
    be a folder in memory.

    Parameters
    ----------
    per_class : bool
        Play one game within each class instead of one game among all players.
    random_state : int or RandomState, optional
        Not used: given the trained model, the values are deterministic.

    Notes
    -----
    Variant: the utility of the paper. Its Theorem 1 is misprinted; the closed form here was derived anew. The gradient
    is that of the last layer, weights and bias, as in the paper's text; the authors' published code uses the bias of
    the first layer.

    Values: gain of nearness to the mean gradient, without unit or bounds; high values are useful or hard points.

    Takes: classifications and regressions, points and subsets; no texts.

    Between processors: equal up to rounding.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    # The registry reads parameters from the source of this file.
    def __init__(self, per_class: bool = False, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(per_class, random_state)

    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """Weight of each gradient, shape (n,): the loss."""
        return losses
