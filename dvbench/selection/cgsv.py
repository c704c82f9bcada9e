"""CGSV: the points whose gradients point most in the direction of the mean gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dvbench.selecting.contract import Points, ValueStrategy

SMALLEST = 1e-30  # of a squared norm; a gradient of 0 has no direction and the value 0


@dataclass(frozen=True)
class CGSV(ValueStrategy):
    """CGSV: largest cosines of a point's gradient and the mean gradient of its class.

    Notes
    -----
    Variant: that of the CHG Shapley paper, with points in the place of the clients of federated learning.

    References
    ----------
    X. Xu, L. Lyu, X. Ma, C. Miao, C. S. Foo, B. K. H. Low. Gradient driven rewards to guarantee fairness in
    collaborative machine learning. NeurIPS 2021,
    https://papers.neurips.cc/paper/2021/hash/8682cc30db9c025ecd3fee433f8ab54c-Abstract.html.
    """

    per_class: bool = True

    def values(self, points: Points) -> torch.Tensor:
        """Cosines with the mean gradient."""
        gradients = points.gradients
        return gradients.dots(gradients.mean()) / gradients.squared_norms().clamp(min=SMALLEST).sqrt()
