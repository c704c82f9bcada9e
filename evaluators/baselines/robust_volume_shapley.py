"""Robust volume Shapley."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import require_features
from evaluators.common.sampling import PermutationSampler


class RobustVolumeShapley(Baseline, dataval.RobustVolumeShapley):
    """Robust volume Shapley: Shapley values of the volume that features span, without labels or validation data.

    OpenDataVal's algorithm with another sampler, which neither caches nor truncates, and with two changes. Features are
    projected onto a few principal components: in as many dimensions as an image has pixels the volume, a determinant,
    is zero or infinite. And arguments of the model's ``fit`` are ignored: OpenDataVal passes them to the function that
    computes the volume, which rejects them.

    Parameters
    ----------
    permutations : int
        Number of permutations. Each costs one volume for each player.
    components : int
        Number of leading principal components in which the volume is computed.
    omega : float
        Side of the cubes within which points count as near each other, in standard deviations.
    random_state : int or RandomState, optional

    References
    ----------
    X. Xu, Z. Wu, C. S. Foo, B. K. H. Low. Validation free and replication robust volume-based data valuation. NeurIPS
    2021.
    """

    def __init__(
        self,
        permutations: int = 10,
        components: int = 5,
        omega: float = 0.05,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.permutations = permutations
        self.components = components
        self.random_state = as_random_state(random_state)
        sampler = PermutationSampler(permutations, random_state=self.random_state)
        super().__init__(sampler=sampler, robust=True, omega=omega)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> RobustVolumeShapley:
        """Set the data, projected onto the training set's leading principal components and scaled to unit variance."""
        require_features("robust_volume_shapley", x_train)
        x = as_tensor(x_train).flatten(start_dim=1).double()
        mean = x.mean(dim=0)
        _, scales, axes = torch.linalg.svd(x - mean, full_matrices=False)
        rank = min(self.components, int((scales > 1e-9 * scales[0]).sum()))
        scale = scales[:rank] / max(len(x) - 1, 1) ** 0.5
        super().input_data((x - mean) @ axes[:rank].T / scale, y_train, x_valid, y_valid)
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> RobustVolumeShapley:
        """Compute the values; arguments of a model's ``fit`` are ignored."""
        super().train_data_values()
        return self

    def _evaluate_volume(self, subset: Sequence[int]) -> float:
        return float(super()._evaluate_volume(subset)) if len(subset) else 0.0
