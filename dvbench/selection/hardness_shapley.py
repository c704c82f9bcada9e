"""Hardness Shapley: the points of the highest losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dvbench.selecting.contract import Points, ValueStrategy


@dataclass(frozen=True)
class HardnessShapley(ValueStrategy):
    """Hardness Shapley: highest Shapley values of the mean loss of a coalition, which rank points by their losses.

    Notes
    -----
    Variant: the value is the loss. The Shapley value is a rising linear function of it, so that order and normalised
    weights are the same.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    per_class: bool = True

    def values(self, points: Points) -> torch.Tensor:
        """Losses."""
        return points.losses
