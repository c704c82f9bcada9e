"""EL2N: the points with the largest errors early in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from dvbench.selecting.contract import Points, ValueStrategy


@dataclass(frozen=True)
class EL2N(ValueStrategy):
    """EL2N: largest norms of the error of the predicted probabilities, measured once, early in training.

    Points are random until the first ``every`` epochs are over. Then those with the largest errors are kept until the
    end.

    Notes
    -----
    Variant: the error is that of one model, which was trained on the random points. The paper has the mean over ten
    models, trained on all points.

    References
    ----------
    M. Paul, S. Ganguli, G. K. Dziugaite. Deep learning on a data diet: finding important examples early in training.
    NeurIPS 2021, arXiv:2107.07075.
    """

    at_start: bool = False

    reselects: ClassVar[bool] = False

    def values(self, points: Points) -> torch.Tensor:
        """Norms of probabilities minus one-hot labels."""
        norms: torch.Tensor = torch.linalg.vector_norm(points.gradients.left, dim=1)
        return norms
