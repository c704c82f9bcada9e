"""Average marginal effect."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import numpy as np
from opendataval import dataval
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold

from dvbench.number_checks import whole_number
from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.coalitions import (
    coalition_utilities,
    coalitions_of,
    every_inclusion,
    models_needed,
    require_in_and_out,
)
from evaluators.common.requirements import Variant, checked_variant

PROPORTIONS = np.array([0.2, 0.4, 0.6, 0.8])
# Features have unit variance with this factor: the mean of 1 / (p (1 - p)), the paper's v.
VARIANCE = float(np.mean(1 / (PROPORTIONS * (1 - PROPORTIONS))))


class AME(Baseline, dataval.AME):
    """AME: average marginal effect of a point on random coalitions of 20, 40, 60 and 80% of players, by a lasso.

    The value of player i is the mean over the proportions p of the mean of U(S + i) - U(S), where S contains every
    other player with probability p. A lasso regression of the utilities of random coalitions on the players that they
    contain estimates the values of all players together. It shrinks values towards 0, and sets most of them to 0 if
    there are few models and few players matter. Equal values are a tie, and tasks score them as a tie.

    If there are not more coalitions than models in total, each is trained once and the values are exact.

    Parameters
    ----------
    models : int
        Models to fit for each of the four proportions, at least 2.
    variant : {"paper", "opendataval"}
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: the paper's features. That of player i is 1 / (p sqrt(v)) for a coalition with the player and
    -1 / ((1 - p) sqrt(v)) for one without, with v the mean of 1 / (p (1 - p)); in expectation its coefficient is the
    AME divided by sqrt(v), and the value is the coefficient times sqrt(v). The paper draws the proportion of each
    coalition at random; here each proportion has the same number of coalitions, which is the same distribution with
    less variance. For the same reason each proportion has its own intercept, without a penalty. The penalty is chosen
    by cross-validation in five shuffled folds. With ``variant="opendataval"`` features are instead standardised within
    each coalition, which removes what is common to all players, and folds are contiguous, so that a penalty is judged
    on other proportions than it was fitted on. OpenDataVal also skips player 0 alone and the empty coalition; both
    variants train them.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it, and 0 is no effect.

    Takes: classifications, regressions and texts; points and subsets.

    Between processors: equal up to rounding, unless rounding changes a prediction, and with it a utility by one correct
    prediction, or the penalty that is chosen (docs/repeatability.md).

    References
    ----------
    J. Lin et al. Measuring the effect of training data on deep learning predictions via randomized experiments. ICML
    2022, arXiv:2206.10013.
    """

    version: ClassVar[str] = "0.2.0"
    takes_subsets = True  # models can be fitted to players that are subsets of points

    def __init__(
        self,
        models: int = 250,
        variant: Variant = "paper",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.models = whole_number("models", models, least=2)
        self.variant = checked_variant(variant)
        super().__init__(num_models=self.models, random_state=as_random_state(random_state))

    def train_data_values(self, *args: Any, **kwargs: Any) -> AME:
        """Draw coalitions and compute their utilities.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If a player is in all or in none of the coalitions.
        """
        n = len(self.x_train)
        self._enumerated = self.variant == "paper" and 2**n <= len(PROPORTIONS) * self.models
        if self._enumerated:
            self.subsets = every_inclusion(n)
        else:
            drawn = [self.random_state.binomial(1, p, size=(self.models, n)) for p in PROPORTIONS]
            self.subsets = np.vstack(drawn).astype(bool)
            chances = prod(PROPORTIONS), prod(1 - PROPORTIONS)
            require_in_and_out("ame", self.subsets, models_needed(n, *chances))
        self._fold_seed = int(self.random_state.randint(2**31))
        self.performance = coalition_utilities(self, coalitions_of(self.subsets), *args, **kwargs)
        return self

    def evaluate_data_values(self) -> np.ndarray:
        """Return the values.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        if self.variant == "opendataval":
            values: np.ndarray = super().evaluate_data_values()
            return values
        if self._enumerated:
            return exact_marginal_effects(self.subsets, self.performance)
        proportions = np.repeat(PROPORTIONS, self.models)
        return estimated_marginal_effects(self.subsets, proportions, self.performance, self._fold_seed)


def features_of(inclusion: np.ndarray, proportions: np.ndarray) -> np.ndarray:
    """The paper's features, which have mean 0 for each proportion, variance 1 over all, and no correlation.

    Parameters
    ----------
    inclusion : numpy.ndarray of bool, shape (k, n)
    proportions : numpy.ndarray of shape (k,)
        Each coalition contains each player with this probability.

    Returns
    -------
    numpy.ndarray of shape (k, n)
    """
    p = proportions[:, np.newaxis]
    features: np.ndarray = np.where(inclusion, 1 / p, -1 / (1 - p)) / VARIANCE**0.5
    return features


def exact_marginal_effects(inclusion: np.ndarray, utilities: np.ndarray) -> np.ndarray:
    """Average marginal effects from the utilities of all coalitions.

    Parameters
    ----------
    inclusion : numpy.ndarray of bool, shape (2**n, n)
    utilities : numpy.ndarray of shape (2**n,)

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    sizes, n = inclusion.sum(axis=1), inclusion.shape[1]
    utilities = utilities - utilities.mean()  # less rounding; contrasts do not change
    effects = np.zeros(n)
    for p in PROPORTIONS:
        weighted = p**sizes * (1 - p) ** (n - sizes) * utilities
        effects += features_of(inclusion, np.full(len(sizes), p)).T @ weighted
    effects *= VARIANCE**0.5 / len(PROPORTIONS)
    return effects


def estimated_marginal_effects(
    inclusion: np.ndarray, proportions: np.ndarray, utilities: np.ndarray, seed: int
) -> np.ndarray:
    """Average marginal effects by a cross-validated lasso.

    Parameters
    ----------
    inclusion : numpy.ndarray of bool, shape (k, n)
    proportions : numpy.ndarray of shape (k,)
        Each coalition contains each player with this probability.
    utilities : numpy.ndarray of shape (k,)
    seed : int
        Seed of the folds of the cross-validation.

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    features = features_of(inclusion, proportions)
    for proportion in np.unique(proportions):  # the intercept of each proportion
        rows = proportions == proportion
        features[rows] -= features[rows].mean(axis=0)
        utilities = np.where(rows, utilities - utilities[rows].mean(), utilities)
    folds = KFold(n_splits=5, shuffle=True, random_state=seed)
    coefficients = LassoCV(cv=folds, fit_intercept=False).fit(features, utilities).coef_
    values: np.ndarray = coefficients * VARIANCE**0.5
    return values
