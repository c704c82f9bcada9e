"""k-centre: points such that every other point is near to one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from dvbench.selecting.contract import Points, Selected, SelectionStrategy

LARGEST = 2**25  # numbers in a matrix of inner products of all pairs


@dataclass(frozen=True)
class KCentre(SelectionStrategy):
    """k-centre: each next point is the one that is farthest from those chosen, in the inputs of the last layer.

    The first one is drawn at random. Points are random until the first ``every`` epochs are over, and chosen once then,
    because the choice takes long and hardly depends on labels.

    References
    ----------
    O. Sener, S. Savarese. Active learning for convolutional neural networks: a core-set approach. ICLR 2018,
    arXiv:1708.00489. Algorithm 1.
    """

    at_start: bool = False

    reselects: ClassVar[bool] = False

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose the farthest point, again and again."""
        x = points.gradients.right
        norms = x.square().sum(dim=1)
        products = x @ x.T if len(x) ** 2 <= LARGEST else None
        distances, rows = torch.full_like(norms, torch.inf), torch.empty(budget, dtype=torch.int64, device=x.device)
        latest = torch.tensor(int(rng.integers(len(x))), device=x.device)
        for step in range(budget):
            rows[step] = latest
            shared = x @ x[latest] if products is None else products[latest]
            torch.minimum(distances, norms + norms[latest] - 2 * shared, out=distances)
            distances[latest] = -torch.inf
            latest = distances.argmax()
        return rows, None
