"""LAVA."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from opendataval import dataval
from opendataval.dataval.lava.otdd import DatasetDistance

from dvbench.errors import UserError
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.baseline import Baseline
from evaluators.common.optimal_transport import Transport, solve_transport
from evaluators.common.requirements import Variant, checked_variant, require_classes

REGULARISATION = 0.1  # of the LAVA authors' code, for costs of half a squared distance
ROWS = 4096  # rows of the cost matrix computed at once


class Lava(Baseline, dataval.LavaEvaluator):
    """LAVA: gradient of the class-wise Wasserstein distance between training and validation set, without any training.

    The value of a player is the calibrated gradient of the distance with respect to its weight, with the opposite
    sign: a player that moves the training set away from the validation set has a low value.

    Parameters
    ----------
    variant : {"paper", "opendataval"}
        Whose computation; see Notes.
    random_state : int or RandomState, optional
        Not used: the values are deterministic.

    Notes
    -----
    Variant: The gradient of section 3 of the paper, computed from the dual of the class-wise Wasserstein distance
    with p = 2. Transport from a training to a validation point costs half the squared Euclidean distance, plus the
    cost of transport (likewise half a squared 2-Wasserstein distance) between the training points of the one class and
    the validation points of the other. Both transport problems have the entropic regularisation of the authors' code,
    0.1, without which the dual potentials are not unique, and are solved until marginals are right to about 1e-7.
    Double precision allows costs of at most 100 thousand times the regularisation. Where features are so large that a
    cost is above 10 thousand, the regularisation is the largest cost divided by 100 thousand, and marginals are right
    to about 1e-5; ``diagnostics_["regularisation"]`` holds the one that was used. So values of 41 raw wines (largest
    cost 1.2 million) differed by at most 0.002 standard deviations from those without regularisation.
    ``variant="opendataval"`` is OpenDataVal's computation, which the authors' code shares: it stops after about 10
    steps of Sinkhorn's iteration, far from convergence, and divides distances between classes by two once more. It
    looks up distances between classes by position, so both sets need a point of every class. One fault is corrected:
    OpenDataVal fails on 257 players, and on any other number with remainder 1 after division by 256.

    Values: opposite of the gradient of a distance, in its unit and without bounds; high values bring the sets together.

    Takes: classifications, points and subsets; neither regressions nor texts. It uses no model.

    Between processors: equal up to rounding. Without vector instructions, values with a standard deviation of 8 to 65
    changed by less than 1e-8; those of the variant ``"opendataval"``, in single precision, by less than 1e-4.

    References
    ----------
    H. A. Just et al. LAVA: data valuation without pre-specified learning algorithms. ICLR 2023, arXiv:2305.00054.
    """

    version: ClassVar[str] = "0.2.0"

    def __init__(
        self,
        variant: Variant = "paper",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.variant = checked_variant(variant)
        self.random_state = as_random_state(random_state)
        with torch.random.fork_rng(devices=[]):  # OpenDataVal reseeds torch's global generator here
            super().__init__(random_state=self.random_state)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> Lava:
        """Set the data, after a check that they have classes."""
        require_classes("lava", x_train, y_train)
        if self.variant == "opendataval":
            for name, y in (("training", y_train), ("validation", y_valid)):
                if not bool(as_tensor(y).any(dim=0).all()):
                    raise UserError(f"lava needs every class in the {name} set; give it more points")
        super().input_data(x_train, y_train, x_valid, y_valid)
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> Lava:
        """Compute the potentials; arguments of a model's ``fit`` are ignored."""
        x, x_valid = (as_tensor(part).flatten(start_dim=1) for part in (self.x_train, self.x_valid))
        labels, labels_valid = (as_tensor(part).argmax(dim=1) for part in (self.y_train, self.y_valid))
        if self.variant == "paper":
            solution = class_wise_transport(x, labels, x_valid, labels_valid)
            self.potential, self.diagnostics_ = solution.source, {"regularisation": solution.regularisation}
        else:
            self.potential = self._opendataval_potential(x, labels, x_valid, labels_valid)
        return self

    def evaluate_data_values(self) -> np.ndarray:
        """Negative calibrated gradients: of a player's potential minus the mean potential of the others."""
        n = len(self.potential)
        gradient = (self.potential - self.potential.mean()) * n / max(n - 1, 1)
        return -gradient.numpy(force=True)

    def _opendataval_potential(self, *data: torch.Tensor) -> torch.Tensor:
        # Made with two points and then given all of them: its constructor joins batches of 256 points and fails on a
        # batch of one.
        distance = DatasetDistance(*(part[:2] for part in (self.x_train, self.y_train, self.x_valid, self.y_valid)))
        distance.x_train, distance.y_train, distance.x_valid, labels_valid = data
        distance.y_valid = labels_valid + as_tensor(self.y_valid).shape[1]
        try:
            potential: torch.Tensor = distance.dual_sol()[0]
        except ValueError as error:  # geomloss divides the logarithm of the diameter of two classes into steps
            raise UserError(
                "variant 'opendataval' of lava cannot compare two classes whose points are all equal, nor distances "
                "that are 0, infinite or not a number in single precision: use variant 'paper' or scale the features"
            ) from error
        return potential.flatten()


def class_wise_transport(
    x: torch.Tensor, labels: torch.Tensor, x_valid: torch.Tensor, labels_valid: torch.Tensor
) -> Transport:
    """Solve the transport problem of the class-wise Wasserstein distance from the training to the validation set.

    Parameters
    ----------
    x, x_valid : torch.Tensor of shape (n, features) and (m, features)
    labels, labels_valid : torch.Tensor of int, shape (n,) and (m,)

    Returns
    -------
    Transport
    """
    valid = x_valid.double()
    cost = torch.cat([torch.cdist(rows.double(), valid).square_().div_(2) for rows in x.split(ROWS)])
    classes, positions = labels.unique(return_inverse=True)
    classes_valid, positions_valid = labels_valid.unique(return_inverse=True)
    between = cost.new_zeros(len(classes), len(classes_valid))
    for i in range(len(classes)):
        for j in range(len(classes_valid)):
            pairs = cost[positions == i][:, positions_valid == j]
            between[i, j] = solve_transport(pairs, REGULARISATION).cost
    for i, distances in enumerate(between):
        cost[positions == i] += distances[positions_valid]
    return solve_transport(cost, REGULARISATION)
