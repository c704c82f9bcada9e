"""The sampler behind OpenDataVal's semivalues: permutations, without cache, truncation or convergence check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from opendataval.dataval import ModelMixin, Sampler

from dvbench.games import enumerable, exact_marginal_contributions, marginal_contributions
from dvbench.randomness import random_state as as_random_state
from evaluators.common.joint_training import together


class PermutationSampler(Sampler):
    """Samples marginal contributions along random permutations.

    It differs from OpenDataVal's samplers in what it leaves out: their cache is shared by all objects of a class and
    hands out other objects' results, their truncation stops whenever the contributions so far have a negative sum, and
    their Gelman-Rubin check is met by pure noise. And it weights each contribution by how often it was drawn in
    expectation, not in fact, so that semivalues computed from it are unbiased for any number of permutations.

    Parameters
    ----------
    permutations : int
        How many to draw.
    min_cardinality : int
        Players that every coalition starts with; raise it for models that cannot be fitted to nothing.
    random_state : int or RandomState, optional
    """

    def __init__(
        self,
        permutations: int,
        min_cardinality: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if permutations < 1:
            raise ValueError(f"permutations must be at least 1, not {permutations}")
        self.permutations = permutations
        self.min_cardinality = min_cardinality
        self.random_state = as_random_state(random_state)

    def set_coalition(self, coalition: torch.Tensor) -> PermutationSampler:
        """Set the players, one a row."""
        self.num_points = len(coalition)
        return self

    def _many(self, run: Callable[[], np.ndarray]) -> np.ndarray:
        """Compute utilities, with their models trained together if it is an evaluator's method that trains them."""
        owner = getattr(self.compute_utility, "__self__", None)
        return together(owner, run) if isinstance(owner, ModelMixin) else run()

    def compute_marginal_contribution(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Sample marginal contributions.

        Parameters
        ----------
        *args, **kwargs
            For the utility function.

        Returns
        -------
        numpy.ndarray of shape (n, n)
            Entry (i, j) is an unbiased estimate of player i's mean contribution to coalitions of j players; exactly
            that where enumerating all coalitions takes no more utilities than the permutations.
        """

        def game(coalitions: Sequence[np.ndarray]) -> np.ndarray:
            # Sorted, so that a utility is a function of the set and not of the order in which it was built.
            sets = [sorted(coalition.tolist()) for coalition in coalitions]
            return self._many(lambda: np.array([float(self.compute_utility(each, *args, **kwargs)) for each in sets]))

        n = self.num_points
        start = min(self.min_cardinality, n)
        if start == 0 and enumerable(n, self.permutations):
            return exact_marginal_contributions(game, n)
        contributions = np.zeros((n, n))
        (everybody,) = game([np.arange(n)])
        (nobody,) = game([np.arange(0)]) if start == 0 else (0.0,)
        for _ in range(self.permutations):
            permutation = self.random_state.permutation(n)
            first = game([permutation[:start]])[0] if start else nobody
            gains = marginal_contributions(game, permutation, first, everybody, start)
            contributions[permutation[start:], np.arange(start, n)] += gains
        return contributions * n / self.permutations
