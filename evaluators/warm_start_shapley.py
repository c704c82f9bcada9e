"""Warm-start Shapley: logistic regressions on all prefixes of many permutations, each started from the one before."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.dataval import DataEvaluator, ModelMixin

from dvbench.games import RunningMean, Stopping
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import model_utilities
from evaluators.common.requirements import require_classes

# Settings chosen on digits. A larger SWEEP and more STEPS take more time and bring models closer to converged models.
SWEEP = 32  # prefixes grow by 1/32 between two sweeps over all their points
REFRESH = 2  # prefixes grow by 1/2 between two computations of the preconditioner
STEPS, MOMENTUM = 4, 0.5  # of gradient descent in a sweep
MIN_CURVATURE = 0.04  # points that fit well have a tiny curvature, with which steps overshoot and models diverge
ROUNDING = 1e-6  # rounding error of a preconditioner, relative to its largest entry
MIN_SHARE = 0.1  # of a class in the preconditioner
ABSENT = -1e30  # intercept of a class without points, whose limit is minus infinity
CACHE = 2**20  # bytes of points that a sweep processes at a time, because it reads them twice in each step
MEMORY = 2**28  # bytes of one batch of permutations


class WarmStartShapley(DataEvaluator, ModelMixin):
    """Warm-start Shapley: Data Shapley of logistic regression; each prefix's model starts from the one before.

    The utility of a coalition is the metric on the validation set of the multinomial logistic regression that minimises

        sum of the coalition's log losses + l2 / 2 * squared norm of the weights, intercepts free,

    which is scikit-learn's objective with C = 1 / l2 (2 / l2 for two classes). A class without points in the coalition
    is never predicted, and if the coalition has one class, that class is always predicted: this is the limit of the
    objective. The empty coalition's utility is the metric of equal probabilities. Many permutations are processed in
    parallel. When a point joins a prefix, its model takes one Newton-like step on that point. Each time the prefix has
    grown by 1/32, the model takes a few steps with momentum on all points of the prefix.

    The estimator is biased, because models are near converged models and not converged. On digits (1,000 players, 64
    features, 10 classes, 300 validation points, l2 = 1) the root mean square error of the accuracies of prefixes of all
    sizes is 0.005, or 0.008 with 20 % flipped labels, as measured by ``pytest tests/benchmarks/test_warm_start.py -o
    addopts= --benchmark-only -s``. A part of a point's contribution is credited to the points after it, so values are
    a little too close to each other. Features should be standardised: if l2 has little effect, as on raw pixels up to
    255, models are far from converged.

    Parameters
    ----------
    permutations : int, optional
        Stop after this many permutations; 100 if no limit is set.
    seconds : float, optional
        Stop after this time. This limit and the next one are checked after each batch.
    target_standard_error : float, optional
        Stop when no value's standard error is larger than this.
    l2 : float
        Strength of regularisation, above 0.
    batch : int
        Permutations processed in parallel; fewer if they would take too much memory. It changes values by rounding
        only.
    random_state : int or RandomState, optional
        Generator of the permutations.

    Attributes
    ----------
    standard_errors_ : numpy.ndarray of shape (n,)
        Standard error of every value, infinite after a single permutation. It does not include the bias.
    diagnostics_ : dict of str to float
        ``permutations``; ``utilities``, the number of utilities computed; and ``utility_empty`` and ``utility_full``,
        utilities of no players and of all players, means over permutations. The values sum to their difference.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019. The values.

    T. Jaakkola, M. Jordan. Bayesian parameter estimation via variational methods. Statistics and Computing 10, 2000.
    The curvature of points that are predicted wrongly.
    """

    def __init__(
        self,
        permutations: int | None = None,
        seconds: float | None = None,
        target_standard_error: float | None = None,
        l2: float = 1.0,
        batch: int = 64,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if permutations is None and seconds is None and target_standard_error is None:
            permutations = 100
        if not l2 > 0 or batch < 1:
            raise ValueError("l2 must be above 0 and batch at least 1")
        self.stopping = Stopping(permutations, seconds, target_standard_error)
        self.l2, self.batch = l2, batch
        self.random_state = as_random_state(random_state)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> WarmStartShapley:
        """Set the data, converted to tensors."""
        require_classes("warm_start_shapley", x_train, y_train)
        super().input_data(as_tensor(x_train), as_tensor(y_train), as_tensor(x_valid), as_tensor(y_valid))
        return self

    @torch.no_grad()
    def train_data_values(self, *args: Any, **kwargs: Any) -> WarmStartShapley:
        """Sample permutations until a limit is reached.

        Parameters
        ----------
        *args, **kwargs
            Not used, like ``pred_model``: OpenDataVal's interface passes ``epochs``, ``batch_size`` and ``lr``, but
            this evaluator trains its own model in its own way.

        Raises
        ------
        FloatingPointError
            If a model diverged.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it, and the cache would outlive a change of data
        started = time.perf_counter()
        points, validation = _features(self.x_train, self.x_valid)
        n = len(points)
        samples, extremes = RunningMean(n), RunningMean(2)
        while not (
            samples.count
            and self.stopping.reached(samples.count, time.perf_counter() - started, samples.standard_errors)
        ):
            remaining = (self.stopping.permutations or np.inf) - samples.count
            size = int(min(self.batch, remaining, self._max_batch(points, validation)))
            permutations = np.stack([self.random_state.permutation(n) for _ in range(size)])
            utilities = self._utilities(points, validation, permutations)
            sample = np.empty((size, n))
            np.put_along_axis(sample, permutations, np.diff(utilities), axis=1)
            samples.add(sample)
            extremes.add(utilities[:, [0, -1]])
        self.values_, self.standard_errors_ = samples.mean, samples.standard_errors
        names = ("permutations", "utilities", "utility_empty", "utility_full")
        diagnostics = samples.count, samples.count * n, *extremes.mean
        self.diagnostics_ = dict(zip(names, map(float, diagnostics), strict=True))
        return self

    def _max_batch(self, points: torch.Tensor, validation: torch.Tensor) -> int:
        """Number of permutations whose points, preconditioners and logits fit into `MEMORY`; at least one."""
        (n, d), classes = points.shape, self.y_train.shape[1]
        floats: int = 2 * n * d + 4 * d * d + (6 * n + 2 * validation.shape[1]) * classes
        return max(1, MEMORY // (4 * floats))

    def _utilities(self, points: torch.Tensor, validation: torch.Tensor, permutations: np.ndarray) -> np.ndarray:
        """Utilities of all prefixes of permutations, starting with the empty prefix.

        Parameters
        ----------
        points : torch.Tensor of shape (n, d)
        validation : torch.Tensor of shape (d, validation points)
        permutations : numpy.ndarray of int, shape (k, n)

        Returns
        -------
        numpy.ndarray of shape (k, n + 1)
        """
        order, labels = torch.as_tensor(permutations), self.y_train.argmax(dim=1).cpu()
        models = _Regressions(points[order], F.one_hot(labels, self.y_train.shape[1]).float()[order], self.l2)
        logits = torch.zeros(len(order), self.y_train.shape[1], validation.shape[1])
        y, sweep, refresh = self.y_valid.cpu(), 1, 1
        utilities = [model_utilities(self.metric, y, logits)]
        for size in range(1, len(points) + 1):
            models.add(size - 1)
            if size >= refresh:
                refresh = size + max(1, size // REFRESH)
                models.precondition(size)
            if size >= sweep or size == len(points):
                sweep = size + max(1, size // SWEEP)
                models.sweep(size)
            torch.mm(models.weights.flatten(0, 1), validation, out=logits.flatten(0, 1))
            if not models.weights.isfinite().all():
                raise FloatingPointError(
                    f"a logistic regression on {size} points diverged; standardise the features or raise l2"
                )
            utilities.append(model_utilities(self.metric, y, logits))
        return np.stack(utilities, axis=1)

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        return self.values_


class _Regressions:
    """Logistic regressions on prefixes of one size, one for each permutation.

    The preconditioner of a model is one matrix for all classes: l2 plus the sum over points of c x x', with c larger
    than every eigenvalue of the Hessian of the point's loss with respect to its logits. So a step of length 1 decreases
    the objective. The inverse of the preconditioner is stored.

    Parameters
    ----------
    x : torch.Tensor of shape (k, n, d)
        Points in the order of each permutation; the last feature is 1.
    y : torch.Tensor of shape (k, n, classes)
        One-hot labels.
    l2 : float
    """

    def __init__(self, x: torch.Tensor, y: torch.Tensor, l2: float) -> None:
        self.x, self.y = x, y
        (k, _, d), classes = x.shape, y.shape[2]
        self.penalty = torch.full((d,), l2)
        self.penalty[-1] = 0
        self.ridge = torch.full((d,), l2)
        self.ridge[-1] *= 1e-3  # not zero, so that an inverse exists
        self.inverse = torch.diag(1 / self.ridge).repeat(k, 1, 1)
        self.shares = torch.ones(k, classes)
        self.weights = torch.zeros(k, classes, d)
        self.weights[:, :, -1] = ABSENT
        self.sums = torch.zeros_like(self.weights)  # of the points of each class
        self.first_points = torch.where(y.amax(dim=1) > 0, y.argmax(dim=1), -1)  # of each class

    def add(self, index: int) -> None:
        """Add a point: minimise the quadratic bound of its loss plus the quadratic model of the other points' losses.

        For a class that few points are uncertain about, the preconditioner is too large; a factor for each class
        corrects this. Without it a point would change its model too little, and the next sweep would credit the
        rest of its contribution to another point.
        """
        x, y = self.x[:, index], self.y[:, index]
        self.weights[:, :, -1].masked_fill_(self.first_points == index, 0)
        self.sums += y.unsqueeze(2) * x.unsqueeze(1)
        p = (self.weights * x.unsqueeze(1)).sum(dim=2).softmax(dim=1)
        curvature = _curvatures(p.unsqueeze(2), y.unsqueeze(2)).amax(dim=1).clamp(min=MIN_CURVATURE)
        u = torch.bmm(x.unsqueeze(1), self.inverse)
        point_curvature = curvature * (u.squeeze(1) * x).sum(dim=1, keepdim=True)
        self.weights -= ((p - y) / (self.shares + point_curvature)).unsqueeze(2) * u
        self.inverse.baddbmm_((curvature / (1 + point_curvature)).unsqueeze(2) * u.mT, u, alpha=-1)  # Sherman-Morrison

    def precondition(self, size: int) -> None:
        """Compute the preconditioner again, because curvatures change as models learn."""
        x, y = self.x[:, :size], self.y[:, :size]
        curvatures = _curvatures(torch.bmm(self.weights, x.mT).softmax(dim=1), y.mT)
        curvature = curvatures.amax(dim=1).clamp(min=MIN_CURVATURE)
        self.shares = (curvatures.sum(dim=2) / curvature.sum(dim=1, keepdim=True)).clamp(min=MIN_SHARE)
        bound = (x * curvature.unsqueeze(2)).mT @ x + torch.diag(self.ridge)
        diagonal = bound.diagonal(dim1=1, dim2=2)
        diagonal += ROUNDING * diagonal.amax(dim=1, keepdim=True)
        factor, failed = torch.linalg.cholesky_ex(bound)
        factor[failed > 0] = torch.diag(torch.full_like(self.ridge, torch.nan))  # raises an error later
        self.inverse = torch.cholesky_inverse(factor)

    def sweep(self, size: int) -> None:
        """Take a few steps with momentum on whole prefixes; more on small ones, which change most and cost least."""
        whole = (self.x[:, :size], self.sums, self.inverse, self.weights)
        chunk = max(1, CACHE // (4 * size * self.x.shape[2]))
        for x, sums, inverse, weights in zip(*(torch.split(part, chunk) for part in whole), strict=True):
            velocity = torch.zeros_like(weights)
            for _ in range(min(16, max(STEPS, 512 // size))):
                p = torch.bmm(weights, x.mT).softmax(dim=1)
                gradient = torch.bmm(p, x) - sums + self.penalty * weights
                velocity = MOMENTUM * velocity - torch.bmm(gradient, inverse)
                weights += velocity


def _curvatures(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Bounds on the curvature of points' losses with respect to their logits; a point's bound is its largest class's.

    The bound is 2 p (1 - p). If p is wrong by more than 0.5, it is the bound of Jaakkola and Jordan, which holds on the
    whole way to the right label: there p (1 - p) is almost zero, and a step would overshoot. All arrays have shape (k,
    classes, points).
    """
    return torch.where((p - y).abs() > 0.5, (2 * p - 1) / p.logit(eps=1e-6), 2 * p * (1 - p))


def _features(players: torch.Tensor, validation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flattened features with a 1 appended, of shapes (n, d) and (d, validation points).

    Features are centred, which intercepts compensate. If there are more features than players, they are rotated into
    the span of the players, which does not change the penalty. Neither changes the predictions of a converged model.
    """
    x, z = (part.flatten(start_dim=1).cpu().float() for part in (players, validation))
    x, z = x - x.mean(dim=0), z - x.mean(dim=0)
    if x.shape[1] > len(x):
        span = torch.linalg.svd(x, full_matrices=False).Vh.T
        x, z = x @ span, z @ span
    return F.pad(x, (0, 1), value=1.0), F.pad(z, (0, 1), value=1.0).T.contiguous()
