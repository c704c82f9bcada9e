"""The sampler of OpenDataVal's semivalues: permutations, without a cache, truncation or a convergence check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from opendataval.dataval import ModelMixin, Sampler

from dvbench.games import AT_ONCE, enumerable, exact_marginal_contributions, utilities_of
from dvbench.number_checks import whole_number
from dvbench.progress import part
from dvbench.randomness import random_state as as_random_state
from dvbench.sampling import RunningMean
from evaluators.common.coalitions import coalition_utility
from evaluators.common.joint_training import train_jointly


class PermutationSampler(Sampler):
    """Samples marginal contributions along random permutations.

    OpenDataVal's samplers have three faults, which this one leaves out: all objects of a class share one cache, which
    returns the results of other objects; truncation stops wherever the contributions so far have a negative sum; and
    pure noise passes their Gelman-Rubin check of convergence. This sampler also divides each sum of contributions by
    the expected number of draws and not by the actual number, so that semivalues computed from it are unbiased for any
    number of permutations.

    Parameters
    ----------
    permutations : int
        Number of permutations to sample, at least 1.
    min_cardinality : int
        Size of the smallest coalition. Raise it for models that cannot be fitted to an empty set.
    random_state : int or RandomState, optional
    """

    def __init__(
        self,
        permutations: int,
        min_cardinality: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.permutations = whole_number("permutations", permutations)
        self.min_cardinality = whole_number("min_cardinality", min_cardinality, least=0)
        self.random_state = as_random_state(random_state)
        self.drawn: list[tuple[np.ndarray, np.ndarray]] = []

    def set_coalition(self, coalition: torch.Tensor) -> PermutationSampler:
        """Set the players, one in each row."""
        self.num_points = len(coalition)
        return self

    def _train_jointly(self, run: Callable[[], np.ndarray]) -> np.ndarray:
        """Compute utilities; if they are those of an evaluator with a model, its models are trained jointly."""
        evaluator = getattr(self.compute_utility, "__self__", None)
        return train_jointly(evaluator, run) if isinstance(evaluator, ModelMixin) else run()

    def compute_marginal_contribution(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Sample marginal contributions.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the utility function.

        Returns
        -------
        numpy.ndarray of shape (n, n)
            Entry (i, j) is an unbiased estimate of player i's mean marginal contribution to coalitions of j players.
            It is exact if enumerating all coalitions takes no more utilities than the permutations.
        """

        def game(coalitions: Sequence[np.ndarray]) -> np.ndarray:
            sets = [coalition.tolist() for coalition in coalitions]
            return self._train_jointly(
                lambda: np.array([float(self.compute_utility(members, *args, **kwargs)) for members in sets])
            )

        n = self.num_points
        start = min(self.min_cardinality, n)
        self.drawn = []
        if start == 0 and enumerable(n, self.permutations):
            return exact_marginal_contributions(game, n)
        sizes = np.arange(max(start, 1), n)  # of the coalitions inside a permutation
        (full,) = utilities_of(game, [np.arange(n)])
        known = utilities_of(game, [np.arange(0)]) if start == 0 else np.empty(0)
        permutations = [self.random_state.permutation(n) for _ in range(self.permutations)]
        together = max(1, AT_ONCE // max(len(sizes), 1))
        contributions = np.zeros((n, n))
        for first in range(0, self.permutations, together):
            some = permutations[first : first + together]
            with part(first, first + len(some), self.permutations):
                utilities = utilities_of(game, [permutation[:size] for permutation in some for size in sizes])
            for permutation, inside in zip(some, utilities.reshape(len(some), len(sizes)), strict=True):
                gains = np.diff(np.concatenate([known, inside, [full]]))
                contributions[permutation[start:], np.arange(start, n)] += gains
                self.drawn.append((permutation[start:], gains))
        return contributions * n / self.permutations

    def standard_errors(self, weights: np.ndarray | float) -> np.ndarray | None:
        """Standard errors of semivalues, from the permutations that were drawn.

        Parameters
        ----------
        weights : numpy.ndarray of shape (n,) or float
            Of each size of coalition, or of all.

        Returns
        -------
        numpy.ndarray of shape (n,), or None
            None if all coalitions were enumerated, or nothing was drawn yet.
        """
        if not self.drawn:
            return None
        running, scale = RunningMean(self.num_points), self.num_points * np.broadcast_to(weights, self.num_points)
        for players, gains in self.drawn:
            sample = np.zeros((1, self.num_points))
            sample[0, players] = scale[-len(players) :] * gains
            running.add(sample)
        return running.standard_errors


class SampledSemivalue:
    """Mixin, listed before OpenDataVal's class of a semivalue that a `PermutationSampler` estimates."""

    @property
    def standard_errors_(self: Any) -> np.ndarray | None:
        """Standard errors of the values, shape (n,); None if all coalitions were enumerated."""
        errors: np.ndarray | None = self.sampler.standard_errors(self.compute_weight())
        return errors

    def _evaluate_model(self: Any, subset: Sequence[int], *args: Any, **kwargs: Any) -> float:
        return coalition_utility(self, subset, *args, **kwargs)
