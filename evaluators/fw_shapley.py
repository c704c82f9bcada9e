"""FW-Shapley: a network, fitted to utilities of coalitions, that predicts the Shapley values of all points."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval.dataval import ModelMixin
from scipy.special import comb

from dvbench.number_checks import number, whole_number
from dvbench.problems.build import standardised
from dvbench.randomness import random_state as as_random_state
from dvbench.randomness import torch_generator
from dvbench.training.tensors import as_rows
from evaluators.common.coalitions import coalition_utilities, coalitions_of, every_inclusion
from evaluators.common.own_evaluator import OwnEvaluator
from evaluators.common.requirements import require_features, require_finite_features
from evaluators.common.value_network import Adam, as_one_vector, initialise

HIDDEN = 64  # units of both hidden layers


class FWShapley(OwnEvaluator, ModelMixin):
    """FW-Shapley: a network that reads a point's features and label learns to predict Shapley values of all points.

    Shapley values are the numbers that sum to the utility of all players less that of none, and whose sums over
    coalitions are nearest to the utilities of these coalitions, by squares weighted with the Shapley kernel. Here these
    numbers are the outputs of a network, so that similar points have similar values and a few coalitions are enough.
    A value is in units of the utility, and a high one is good.

    It takes one fit for each coalition; all models are trained together. It takes classifications and regressions, and
    no texts.

    Parameters
    ----------
    utilities : int
        Number of coalitions, two of them none and all.
    steps : int
        Steps of Adam that train the network, each on all coalitions.
    lr : float
        Learning rate of these steps.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: the uniform weights of Shapley values. A coalition is drawn with a probability proportional to its kernel,
    and so is its complement; where there are few coalitions, each is used once, with its kernel. The outputs are
    shifted by the same number, so that they sum to what they have to. Written from the paper's formulas, without its
    code. Tested against enumeration, on points that the network can tell apart.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it.

    Takes: classifications and regressions, points and subsets; no texts.

    Between processors: the network is trained in double precision, and its weights are rounded to single precision
    after each step, because training amplifies differences of rounding. With other instructions of the processor,
    values of digits and breast cancer differed by up to 0.6% of their range, and rank correlations were 0.9996 or more.

    References
    ----------
    P. Panda, S. Tandon, V. N. Balasubramanian. FW-Shapley: real-time estimation of weighted Shapley values. ICASSP
    2024, arXiv:2503.06602.
    """

    def __init__(
        self,
        utilities: int = 1000,
        steps: int = 500,
        lr: float = 0.01,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.utilities = whole_number("utilities", utilities, least=2)
        self.steps, self.lr = whole_number("steps", steps), number("lr", lr, above=0)
        self.random_state = as_random_state(random_state)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> FWShapley:
        """Set the data."""
        require_features("fw_shapley", x_train)
        super().input_data(x_train, y_train, x_valid, y_valid)
        return self

    def train_data_values(self, *args: Any, **kwargs: Any) -> FWShapley:
        """Compute utilities of coalitions, and train the network on them.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If a feature is NaN or infinite.
        """
        self.__dict__.pop("data_values", None)  # OpenDataVal caches it; it belongs to earlier data
        x, y = as_rows(self.x_train), as_rows(self.y_train)
        require_finite_features("fw_shapley", x)
        inclusion, weights = kernel_coalitions(len(x), self.utilities - 2, self.random_state)
        ends = np.repeat([[False], [True]], len(x), axis=1)
        utilities = coalition_utilities(self, coalitions_of(np.vstack([ends, inclusion])), *args, **kwargs)
        generator = torch_generator(int(self.random_state.randint(2**31)))
        gains, total = utilities[2:] - utilities[0], utilities[1] - utilities[0]
        points = np.hstack([*standardised([x]), y])
        self.values_ = self._fitted(points, inclusion, weights, gains, total, generator)
        return self

    def _fitted(
        self,
        points: np.ndarray,
        inclusion: np.ndarray,
        kernel: np.ndarray,
        gains: np.ndarray,
        total: float,
        generator: torch.Generator,
    ) -> np.ndarray:
        """Values of a network that is trained on the gains of coalitions over none."""
        n, width = points.shape
        # So that the learning rate does not depend on the utility.
        unit = (float(np.std(gains)) if len(gains) else 0.0) or 1.0
        inputs, members = torch.as_tensor(points).double(), torch.as_tensor(inclusion).double()
        targets, kernel_weights = torch.as_tensor(gains).double() / unit, torch.as_tensor(kernel)
        layers = [torch.nn.Linear(width, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN, 1)).double()
        initialise(network, generator)
        weights, gradient = as_one_vector(network)
        optimiser = Adam(weights, gradient, self.lr)

        def values() -> torch.Tensor:
            outputs = network(inputs).squeeze(1)
            shifted: torch.Tensor = outputs - outputs.mean() + total / unit / n
            return shifted

        for _ in range(self.steps if len(members) else 0):
            gradient.zero_()
            (kernel_weights @ (members @ values() - targets).square()).backward()
            optimiser.step()
            with torch.no_grad():
                weights.copy_(weights.float())  # see "Between processors"
        with torch.no_grad():
            return (values() * unit).numpy()


def kernel_coalitions(n: int, count: int, random_state: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Draw coalitions of 1 to n - 1 of n players, with probabilities proportional to the Shapley kernel.

    Parameters
    ----------
    n, count : int
    random_state : numpy.random.RandomState

    Returns
    -------
    inclusion : numpy.ndarray of bool, shape (count, n)
        Each second coalition is the complement of the one before. All coalitions if there are not more than ``count``,
        none for one player.
    weights : numpy.ndarray of shape (count,)
        They sum to 1: equal ones, or the kernel of all coalitions.
    """
    sizes = np.arange(1, n)
    of_sizes = 1 / (sizes * (n - sizes))
    if n <= count.bit_length() and 2**n - 2 <= count:
        inclusion = every_inclusion(n)[1:-1]
        members = inclusion.sum(axis=1)
        weights = of_sizes[members - 1] / comb(n, members)
        return inclusion, weights / (weights.sum() or 1.0)
    drawn = random_state.choice(sizes, size=(count + 1) // 2, p=of_sizes / of_sizes.sum())
    order = random_state.random_sample((len(drawn), n)).argsort(axis=1).argsort(axis=1)
    half = order < drawn[:, np.newaxis]
    inclusion = np.stack([half, ~half], axis=1).reshape(-1, n)[:count]
    return inclusion, np.full(count, 1 / max(count, 1))
