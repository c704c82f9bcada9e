"""Robust volume Shapley."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from opendataval.dataval import RobustVolumeShapley

from dvbench.training.tensors import as_tensor
from evaluators.common.requirements import require_features
from evaluators.common.sampling import PermutationSampler


class ProjectedVolumeShapley(RobustVolumeShapley):
    """OpenDataVal's robust volume Shapley on few dimensions, and with training arguments left aside.

    OpenDataVal passes ``epochs`` on to a volume, which rejects it. And in as many dimensions as an image has pixels the
    volume, a determinant, is zero or infinite.

    Parameters
    ----------
    sampler : Sampler
    components : int
        Leading principal components that the volume is taken in.
    omega : float
        Side of the cubes that near points share.
    """

    def __init__(self, sampler: PermutationSampler, components: int, omega: float) -> None:
        super().__init__(sampler=sampler, robust=True, omega=omega)
        self.components = components

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> ProjectedVolumeShapley:
        """Take the data, projected onto the training set's leading principal components, scaled to unit variance."""
        require_features("robust_volume_shapley", x_train)
        x = as_tensor(x_train).flatten(start_dim=1).double()
        centre = x.mean(dim=0)
        _, scales, axes = torch.linalg.svd(x - centre, full_matrices=False)
        rank = min(self.components, int((scales > 1e-9 * scales[0]).sum()))
        scale = scales[:rank] / max(len(x) - 1, 1) ** 0.5
        return super().input_data((x - centre) @ axes[:rank].T / scale, y_train, x_valid, y_valid)

    def train_data_values(self, *args: Any, **kwargs: Any) -> ProjectedVolumeShapley:
        """Compute the values; what is meant for a model's ``fit`` is not used."""
        return super().train_data_values()

    def _evaluate_volume(self, subset: Sequence[int]) -> float:
        return float(super()._evaluate_volume(subset)) if len(subset) else 0.0


def robust_volume_shapley(
    permutations: int = 10,
    components: int = 5,
    omega: float = 0.05,
    random_state: int | np.random.RandomState | None = None,
) -> RobustVolumeShapley:
    """Robust volume Shapley: Shapley values of the volume that features span, without labels or validation data.

    Parameters
    ----------
    permutations : int
        Each costs one volume a player.
    components : int
        Leading principal components that the volume is taken in.
    omega : float
        Side of the cubes that near points share.
    random_state : int or RandomState, optional

    Returns
    -------
    RobustVolumeShapley
        OpenDataVal's, mended, with a sampler that neither caches nor truncates.

    References
    ----------
    X. Xu, Z. Wu, C. S. Foo, B. K. H. Low. Validation free and replication robust volume-based data valuation. NeurIPS
    2021.
    """
    sampler = PermutationSampler(permutations, random_state=random_state)
    return ProjectedVolumeShapley(sampler, components, omega)
