"""Warm-start Shapley: logistic regressions of all prefixes of many permutations, each started from the one before."""

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

# Chosen on digits. A larger SWEEP and more STEPS cost time and bring models closer to converged ones.
SWEEP = 32  # prefixes grow by 1/32 between two sweeps over all their points
REFRESH = 2  # and by 1/2 between two preconditioners
STEPS, MOMENTUM = 4, 0.5  # of a sweep
FLOOR = 0.04  # least curvature: with the tiny one of points that fit well, steps overshoot and models diverge
ROUNDING = 1e-6  # of a preconditioner, relative to its largest entry
SHARE = 0.1  # least share of a class in it
ABSENT = -1e30  # intercept of a class without points, whose limit is minus infinity
CACHE = 2**20  # bytes of points that one sweep goes over at a time: it reads them twice a step
MEMORY = 2**28  # bytes of one batch of permutations


class WarmStartShapley(DataEvaluator, ModelMixin):
    """Warm-start Shapley: Data Shapley of logistic regression, each prefix's model started from the last one's.

    The utility of a coalition is the metric on the validation set of the multinomial logistic regression that minimises

        sum of the coalition's log losses + l2 / 2 * squared norm of the weights, intercepts free,

    which is scikit-learn's objective with C = 1 / l2 (2 / l2 for two classes). A class without points in the coalition
    is never predicted, and a class alone always: that is this objective's limit. The empty coalition's utility is the
    metric of equal probabilities. Many permutations are walked side by side. A point that joins moves its model by a
    Newton-like step of its own; every so often the whole prefix is swept over with a few steps with momentum.

    The estimator is biased: models are near converged ones. On digits (1,000 players, 64 features, 10 classes, 300
    validation points, l2 = 1) the accuracies of prefixes of all sizes are off by a root mean square of 0.005, or of
    0.008 with 20 % flipped labels, as measured by ``pytest tests/benchmarks/test_warm_start.py -o addopts=
    --benchmark-only -s``. Some credit of a point goes to those after it, which draws values together a little. Features
    should be standardised: where l2 hardly acts, as on raw pixels up to 255, models lag far behind.

    Parameters
    ----------
    permutations : int, optional
        Stop after this many permutations; 100 if no limit is set.
    seconds : float, optional
        Stop after this time. This limit and the next are looked at after each batch.
    target_standard_error : float, optional
        Stop when no value has a larger standard error.
    l2 : float
        Strength of regularisation, above 0.
    batch : int
        Permutations walked side by side; fewer where they would take much memory. Changes values by rounding only.
    random_state : int or RandomState, optional
        Draws the permutations.

    Attributes
    ----------
    standard_errors_ : numpy.ndarray of shape (n,)
        Standard error of every value, infinite after a single permutation. The bias is not in it.
    diagnostics_ : dict of str to float
        ``permutations``, ``utilities`` computed, and ``utility_empty`` and ``utility_full``, means over permutations;
        the values sum to their difference.

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
        """Take the data, gathering data sets into tensors."""
        require_classes("warm_start_shapley", x_train, y_train)
        return super().input_data(as_tensor(x_train), as_tensor(y_train), as_tensor(x_valid), as_tensor(y_valid))

    @torch.no_grad()
    def train_data_values(self, *args: Any, **kwargs: Any) -> WarmStartShapley:
        """Walk permutations until a limit is reached.

        Parameters
        ----------
        *args, **kwargs
            ``epochs``, ``batch_size`` and ``lr`` are taken for the sake of OpenDataVal's interface, and ``pred_model``
            likewise: this evaluator has its own model and its own steps.

        Raises
        ------
        FloatingPointError
            If a model diverged.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to the data seen before
        started = time.perf_counter()
        points, validation = _features(self.x_train, self.x_valid)
        n = len(points)
        samples, ends = RunningMean(n), RunningMean(2)
        while not (
            samples.count
            and self.stopping.reached(samples.count, time.perf_counter() - started, samples.standard_errors)
        ):
            left = (self.stopping.permutations or np.inf) - samples.count
            size = int(min(self.batch, left, self._affordable(points, validation)))
            permutations = np.stack([self.random_state.permutation(n) for _ in range(size)])
            utilities = self._utilities(points, validation, permutations)
            sample = np.empty((size, n))
            np.put_along_axis(sample, permutations, np.diff(utilities), axis=1)
            samples.add(sample)
            ends.add(utilities[:, [0, -1]])
        self.values_, self.standard_errors_ = samples.mean, samples.standard_errors
        names = ("permutations", "utilities", "utility_empty", "utility_full")
        self.diagnostics_ = dict(zip(names, map(float, (samples.count, samples.count * n, *ends.mean)), strict=True))
        return self

    def _affordable(self, points: torch.Tensor, validation: torch.Tensor) -> int:
        """Permutations whose points, preconditioners and logits fit into `MEMORY`; at least one."""
        (n, d), classes = points.shape, self.y_train.shape[1]
        floats = 2 * n * d + 4 * d * d + (6 * n + 2 * validation.shape[1]) * classes
        return max(1, MEMORY // (4 * floats))

    def _utilities(self, points: torch.Tensor, validation: torch.Tensor, permutations: np.ndarray) -> np.ndarray:
        """Utilities of all prefixes, from the empty one on.

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
    """Logistic regressions on prefixes of one size, side by side.

    The preconditioner is one matrix a model for all classes: l2 plus the sum over points of c x x', with c above every
    eigenvalue of the Hessian of the point's loss in its logits. So steps of length 1 descend. Its inverse is kept.

    Parameters
    ----------
    x : torch.Tensor of shape (k, n, d)
        Points of each permutation in its order; the last feature is 1.
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
        self.ridge[-1] *= 1e-3  # that an inverse exists
        self.inverse = torch.diag(1 / self.ridge).repeat(k, 1, 1)
        self.shares = torch.ones(k, classes)
        self.weights = torch.zeros(k, classes, d)
        self.weights[:, :, -1] = ABSENT
        self.sums = torch.zeros_like(self.weights)  # of the points of each class
        self.arrivals = torch.where(y.amax(dim=1) > 0, y.argmax(dim=1), -1)

    def add(self, index: int) -> None:
        """Let a point join: minimise its loss's quadratic bound plus the quadratic model of the others' losses.

        The preconditioner is too stiff for a class that few points are torn about, hence the classes' shares in it.
        Without them the point moves its model too little, and the next sweep credits what it adds to another point.
        """
        x, y = self.x[:, index], self.y[:, index]
        self.weights[:, :, -1].masked_fill_(self.arrivals == index, 0)
        self.sums += y.unsqueeze(2) * x.unsqueeze(1)
        p = (self.weights * x.unsqueeze(1)).sum(dim=2).softmax(dim=1)
        curvature = _curvatures(p.unsqueeze(2), y.unsqueeze(2)).amax(dim=1).clamp(min=FLOOR)
        u = torch.bmm(x.unsqueeze(1), self.inverse)
        own = curvature * (u.squeeze(1) * x).sum(dim=1, keepdim=True)
        self.weights -= ((p - y) / (self.shares + own)).unsqueeze(2) * u
        self.inverse.baddbmm_((curvature / (1 + own)).unsqueeze(2) * u.mT, u, alpha=-1)  # Sherman-Morrison

    def precondition(self, size: int) -> None:
        """Make the preconditioner anew: curvatures change as models learn."""
        x, y = self.x[:, :size], self.y[:, :size]
        each = _curvatures(torch.bmm(self.weights, x.mT).softmax(dim=1), y.mT)
        curvature = each.amax(dim=1).clamp(min=FLOOR)
        self.shares = (each.sum(dim=2) / curvature.sum(dim=1, keepdim=True)).clamp(min=SHARE)
        bound = (x * curvature.unsqueeze(2)).mT @ x + torch.diag(self.ridge)
        diagonal = bound.diagonal(dim1=1, dim2=2)
        diagonal += ROUNDING * diagonal.amax(dim=1, keepdim=True)
        factor, failed = torch.linalg.cholesky_ex(bound)
        factor[failed > 0] = torch.diag(torch.full_like(self.ridge, torch.nan))  # is found at the end
        self.inverse = torch.cholesky_inverse(factor)

    def sweep(self, size: int) -> None:
        """Take a few steps with momentum on whole prefixes; more on small ones, which change most and cost least."""
        whole = (self.x[:, :size], self.sums, self.inverse, self.weights)
        chunk = max(1, CACHE // (4 * size * self.x.shape[2]))
        for x, sums, inverse, weights in zip(*(part.split(chunk) for part in whole), strict=True):
            velocity = torch.zeros_like(weights)
            for _ in range(min(16, max(STEPS, 512 // size))):
                p = torch.bmm(weights, x.mT).softmax(dim=1)
                gradient = torch.bmm(p, x) - sums + self.penalty * weights
                velocity = MOMENTUM * velocity - torch.bmm(gradient, inverse)
                weights += velocity


def _curvatures(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Bounds on the curvature of points' losses in their logits, the largest class's being the point's.

    They are 2 p (1 - p), and where p is wrong by more than a half, the bound that holds all the way to being right:
    there p (1 - p) is next to nothing, and a step would overshoot. All have shape (k, classes, points).
    """
    return torch.where((p - y).abs() > 0.5, (2 * p - 1) / p.logit(eps=1e-6), 2 * p * (1 - p))


def _features(players: torch.Tensor, validation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat features, then a 1, of shapes (n, d) and (d, validation points).

    They are centred, for which intercepts make up, and where they outnumber the players, rotated into these' span,
    which l2 does not see. Neither changes what a converged model predicts.
    """
    x, z = (part.flatten(start_dim=1).cpu().float() for part in (players, validation))
    x, z = x - x.mean(dim=0), z - x.mean(dim=0)
    if x.shape[1] > len(x):
        span = torch.linalg.svd(x, full_matrices=False).Vh.T
        x, z = x @ span, z @ span
    return F.pad(x, (0, 1), value=1.0), F.pad(z, (0, 1), value=1.0).T.contiguous()
