"""Robust volume Shapley."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from opendataval import dataval

from dvbench.errors import UserError
from dvbench.number_checks import number, whole_number
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import Variant, checked_variant, require_features
from evaluators.common.sampling import PermutationSampler

BETA = 10  # of the paper; the larger it is, the less a copy of a point adds


class RobustVolumeShapley(Baseline, dataval.RobustVolumeShapley):
    """Robust volume Shapley: Shapley values of the volume that features span, without labels or validation data.

    The volume is computed in a few principal components: in as many dimensions as an image has pixels it is zero or
    infinite. Cubes are there for copies of points, exact or slightly changed. In data without copies, cubes of the
    default size hold one point each, and the values are those of the plain volume.

    Parameters
    ----------
    permutations : int
        Number of permutations. Each costs one volume for each player.
    components : int
        Number of leading principal components in which the volume is computed, each scaled to unit variance.
    omega : float
        Side of the cubes, in standard deviations. The default is that of the authors' experiments, which scale features
        to unit variance too; OpenDataVal's is 0.05. Points in one cube count as one point, their mean.
    variant : {"paper", "opendataval"}
        Whose utility; see Notes.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: The paper's robust volume: ``sqrt(det(M' M))``, where the rows of M are the means of the cubes that hold
    points, times a factor for each cube, ``1 + a + ... + a**k`` if it holds k points. Here a is 1 over 10 times the
    number of cubes that hold a point of the training set, so any number of copies multiplies a utility by less than
    ``(1 - a * a) ** -cubes``. Cubes and a are those of the whole training set, the same for all coalitions.
    ``variant="opendataval"`` is OpenDataVal's utility. It begins the cubes at the minimum of each coalition, so that
    two points share a cube or not depending on a third; a depends on the coalition; and 1e-8 is added to the
    determinant, so that a coalition with fewer points than components has the utility 0.0001 and not 0. In both
    variants the sampler neither caches nor truncates, and arguments of the model's ``fit``, which OpenDataVal rejects,
    are ignored.

    Values: gain of volume, without unit; high values are of points unlike the others, useful or not.

    Takes: classifications and regressions, points and subsets; no texts. It uses neither labels nor a model.

    Between processors: equal up to rounding. Without vector instructions, values changed by less than 1e-12 of their
    standard deviation.

    References
    ----------
    X. Xu, Z. Wu, C. S. Foo, B. K. H. Low. Validation free and replication robust volume-based data valuation. NeurIPS
    2021, https://openreview.net/forum?id=YLzoHUlf_k.
    """

    uses_validation = False
    version: ClassVar[str] = "0.2.0"

    def __init__(
        self,
        permutations: int = 10,
        components: int = 5,
        omega: float = 0.1,
        variant: Variant = "paper",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.variant = checked_variant(variant)
        omega = number("omega", omega, above=0)
        if variant == "opendataval" and omega > 1:
            raise ValueError(f"omega is at most 1 in the variant 'opendataval', not {omega!r}")
        self.permutations = permutations
        self.components = whole_number("components", components)
        self.random_state = as_random_state(random_state)
        sampler = PermutationSampler(permutations, random_state=self.random_state)
        super().__init__(sampler=sampler, robust=True, omega=omega)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> RobustVolumeShapley:
        """Set the data, projected onto the training set's leading principal components and scaled to unit variance."""
        require_features("robust_volume_shapley", x_train)
        x = as_tensor(x_train).flatten(start_dim=1).double()
        if not bool(x.isfinite().all()):
            raise UserError("robust_volume_shapley: a feature is infinite or not a number")
        mean = x.mean(dim=0)
        _, scales, axes = torch.linalg.svd(x - mean, full_matrices=False)
        rank = min(self.components, int((scales > 1e-9 * scales[0]).sum()))
        if rank == 0 and self.variant == "opendataval":
            raise UserError(
                "variant 'opendataval' of robust_volume_shapley needs two points that differ: all are equal; use "
                "variant 'paper'"
            )
        axes, scale = axes[:rank], scales[:rank] / max(len(x) - 1, 1) ** 0.5
        # The sign of an axis is arbitrary; a fixed one keeps the cubes in their places.
        signs = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()
        super().input_data((x - mean) @ (signs * axes).T / scale, y_train, x_valid, y_valid)
        self.volume = RobustVolume(self.x_train.numpy(force=True), self.omega)
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> RobustVolumeShapley:
        """Compute the values; arguments of a model's ``fit`` are ignored."""
        super().train_data_values()
        return self

    def _evaluate_volume(self, subset: Sequence[int]) -> float:
        if self.variant == "paper":
            return self.volume(subset)
        return float(super()._evaluate_volume(subset)) if len(subset) else 0.0


class RobustVolume:
    """The robust volume of coalitions of points.

    Parameters
    ----------
    points : numpy.ndarray of shape (n, d)
    omega : float
        Side of the cubes.
    """

    def __init__(self, points: np.ndarray, omega: float) -> None:
        corners = np.floor((points - points.min(axis=0)) / omega)
        cubes, numbers = np.unique(corners, axis=0, return_inverse=True)
        self.points, self.cubes = points, numbers.ravel()
        self.alpha = 1 / (BETA * len(cubes))

    def __call__(self, coalition: Sequence[int]) -> float:
        """Volume of the means of the cubes that hold members, times the factors of these cubes."""
        members = np.asarray(coalition, dtype=int)
        _, cubes, sizes = np.unique(self.cubes[members], return_inverse=True, return_counts=True)
        d = self.points.shape[1]
        if d == 0 or len(sizes) < d:
            return 0.0
        means = np.zeros((len(sizes), d))
        np.add.at(means, cubes, self.points[members])
        volume = np.linalg.svd(means / sizes[:, None], compute_uv=False).prod()
        return float(volume * ((1 - self.alpha ** (sizes + 1)) / (1 - self.alpha)).prod())
