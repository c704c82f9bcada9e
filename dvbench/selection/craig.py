"""CRAIG: medoids of gradients, each of which counts for the points that are nearest to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dvbench.selecting.contract import Points, Selected, SelectionStrategy


@dataclass(frozen=True)
class CRAIG(SelectionStrategy):
    """CRAIG: points that represent the gradients of the class best, each with the number of points that it represents.

    Greedy facility location: each next point is the one that lowers the sum of distances, from every point to the
    nearest chosen one, the most. It needs the distances of all pairs of points of a class.

    References
    ----------
    B. Mirzasoleiman, J. Bilmes, J. Leskovec. Coresets for data-efficient training of machine learning models. ICML
    2020, arXiv:1906.01827. Algorithm 1.
    """

    per_class: bool = True

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose medoids greedily; their weights are the sizes of their clusters."""
        distances = points.gradients.distances(points.gradients)
        nearest = distances.max() + torch.zeros_like(distances[0])
        rows = torch.empty(budget, dtype=torch.int64, device=distances.device)
        free = torch.ones_like(nearest, dtype=torch.bool)
        for step in range(budget):
            gains = (nearest.unsqueeze(1) - distances).clamp_(min=0).sum(dim=0)
            latest = torch.where(free, gains, -1.0).argmax()
            rows[step], free[latest] = latest, False
            nearest = torch.minimum(nearest, distances[:, latest])
        weights = distances[:, rows].argmin(dim=1).bincount(minlength=budget)
        return rows, weights
