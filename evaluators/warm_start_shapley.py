"""Warm-start Shapley: logistic regressions on all prefixes of many permutations, each started from the one before."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.dataval import ModelMixin

from dvbench.number_checks import number, whole_number
from dvbench.randomness import random_state as as_random_state
from dvbench.sampling import RunningMean, Sampling
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import model_utilities
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.regressions import Regressions
from evaluators.common.requirements import require_classes

# Settings chosen on digits. A larger SWEEP takes more time and brings models closer to converged models.
SWEEP = 32  # prefixes grow by 1/32 between two sweeps over all their points
REFRESH = 2  # prefixes grow by 1/2 between two computations of the preconditioner
MEMORY = 2**28  # bytes of one batch of permutations


class WarmStartShapley(OwnEvaluator, ModelMixin):
    """Warm-start Shapley: Data Shapley of logistic regression; each prefix's model starts from the one before.

    The utility of a coalition is the metric on the validation set of the multinomial logistic regression that minimises

        sum of the coalition's log losses + l2 / 2 * squared norm of the weights, intercepts free,

    which is scikit-learn's objective with C = 1 / l2 (2 / l2 for two classes). A class without points in the coalition
    is never predicted, and if the coalition has one class, that class is always predicted: this is the limit of the
    objective. The empty coalition's utility is the metric of equal probabilities. Many permutations are processed in
    parallel. When a point joins a prefix, its model takes one Newton-like step on that point. Each time the prefix has
    grown by 1/32, the model takes a few steps with momentum on all points of the prefix.

    The estimator is biased, because models are near converged models and not converged. A part of a point's
    contribution is credited to the points after it, so values are a little too close to each other. The root mean
    square error of the accuracies of prefixes of all sizes, against converged models of scikit-learn, is

        data                                        clean labels   20 % flipped
        digits, 1,000 players                       0.0048         0.0080
        digits, 100 players                         0.0063         0.0084
        breast cancer, 400 players                  0.0035         0.0032
        breast cancer, 100 players                  0.0017         0.0031
        30 features with heavy tails, 500 players   0.0051         0.0051

    as measured by ``pytest tests/benchmarks/test_warm_start.py -o addopts= --benchmark-only -s``. Features should be
    standardised: if l2 has little effect, as on raw pixels up to 255, models are far from converged.

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

    Notes
    -----
    Variant: Data Shapley's values (equation 1 of the paper, with the constant that makes them sum to the utility of all
    players) of the logistic regression above, not of ``pred_model``, estimated from whole permutations without
    truncation. OpenDataVal has no such evaluator.

    Values: gain of utility of a logistic regression, in its unit (for accuracy a fraction); positive values raise it.

    Takes: classifications, points and subsets; neither regressions nor texts. It has a model of its own.

    Between processors: with other instructions of the processor all utilities were equal on digits and breast cancer
    (100 players, 64 permutations), and on larger data 1 to 5 of 25,664 to 64,064 utilities differed, each by one
    prediction on the edge between two classes. So a value changes by rounding, or by a few times 1 / (validation points
    * permutations), which was at most 0.5 % of the range of values.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019,
    arXiv:1904.02868. The values.

    T. Jaakkola, M. Jordan. Bayesian parameter estimation via variational methods. Statistics and Computing 10, 2000.
    The curvature of points that are predicted wrongly.
    """

    version: ClassVar[str] = "0.2.0"

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
        self.stopping = Sampling(permutations, seconds, target_standard_error).stopping
        self.l2, self.batch = number("l2", l2, above=0), whole_number("batch", batch)
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
        models = Regressions(points[order], F.one_hot(labels, self.y_train.shape[1]).float()[order], self.l2)
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
            if not logits.sum().isfinite():  # in float32 this is much faster than asking for each logit
                raise FloatingPointError(
                    f"a logistic regression on {size} points diverged; standardise the features or raise l2"
                )
            utilities.append(model_utilities(self.metric, y, logits))
        return np.stack(utilities, axis=1)


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
