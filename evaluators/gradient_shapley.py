"""Gradient Shapley: CHG Shapley without hardness."""

from __future__ import annotations

import numpy as np
import torch

from evaluators.common.gradient_game import GradientGame


class GradientShapley(GradientGame):
    """Gradient Shapley: CHG Shapley's gradient part as an evaluator of its own; a player's feature is its gradient.

    Time, memory and temporary files are those of CHG Shapley.

    Parameters
    ----------
    per_class : bool
        Play one game within each class instead of one game among all players.
    random_state : int or RandomState, optional
        Not used: given the trained model, the values are deterministic.

    Notes
    -----
    Variant: what the CHG Shapley paper has as an ablation, with the closed form and the gradient of `CHGShapley`.

    Values: gain of nearness to the mean gradient, without unit or bounds; a high one is useful.

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
        """Weight of each gradient, shape (n,): one."""
        return torch.ones_like(losses)
