"""Gradient Shapley: CHG Shapley without hardness."""

from __future__ import annotations

import torch

from evaluators.chg_shapley import CHGShapley


class GradientShapley(CHGShapley):
    """Gradient Shapley: CHG Shapley's ablation without hardness, the feature being the gradient alone.

    Parameters
    ----------
    per_class : bool
        Play the game inside each class instead of among all players.
    random_state : int or RandomState, optional

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """Factor of each gradient, shape (n,): one."""
        return torch.ones_like(losses)
