"""Influence by subsampling."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from opendataval import dataval

from dvbench.errors import UserError
from dvbench.number_checks import number, whole_number
from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.coalitions import (
    coalition_utilities,
    coalitions_of,
    models_needed,
    require_in_and_out,
    sums_without_and_with,
)


class InfluenceSubsample(Baseline, dataval.InfluenceSubsample):
    """Influence by subsampling: mean utility of random subsets with a point, minus that of subsets without it.

    All subsets have the same size. If there are not more subsets of this size than models, each is trained once.

    Parameters
    ----------
    models : int
        Number of random subsets. Each costs one fit.
    proportion : float
        Proportion of the points that each subset contains.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: the paper's subsampled influence, as in OpenDataVal, with the utility on the validation set in place of the
    accuracy on one example. Members are sorted before a model is trained, so that a utility is a
    function of the set.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it.

    Takes: classifications, regressions and texts; points and subsets.

    Between processors: equal, unless rounding changes a prediction, and with it a utility by one correct prediction
    (docs/repeatability.md).

    References
    ----------
    V. Feldman, C. Zhang. What neural networks memorize and why: discovering the long tail via influence estimation.
    NeurIPS 2020, arXiv:2008.03703.
    """

    version: ClassVar[str] = "0.2.0"
    takes_subsets = True  # models can be fitted to players that are subsets of points

    def __init__(
        self, models: int = 1000, proportion: float = 0.7, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.models = whole_number("models", models, least=2)
        super().__init__(
            num_models=self.models,
            proportion=number("proportion", proportion, above=0, below=1),
            random_state=as_random_state(random_state),
        )

    def train_data_values(self, *args: Any, **kwargs: Any) -> InfluenceSubsample:
        """Draw subsets and compute their utilities; a second call starts anew.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If a player is in all or in none of the subsets.
        """
        inclusion = self._subsets()
        utilities = coalition_utilities(self, coalitions_of(inclusion), *args, **kwargs)
        self.influence_matrix, self.sample_counts = sums_without_and_with(inclusion, utilities)
        return self

    def _subsets(self) -> np.ndarray:
        """Subsets that are trained on: bool of shape (k, n)."""
        n, size = self.num_points, round(self.proportion * self.num_points)
        if not 0 < size < n:
            raise UserError(
                f"influence_subsample with proportion {self.proportion} draws {size} of {n} players, so that no "
                "player is both in and out of a subset; choose another proportion"
            )
        if math.comb(n, size) <= self.models:
            drawn = list(combinations(range(n), size))
        else:
            drawn = [self.random_state.choice(n, size, replace=False) for _ in range(self.models)]
        inclusion = np.zeros((len(drawn), n), dtype=bool)
        np.put_along_axis(inclusion, np.array(drawn), True, axis=1)
        require_in_and_out("influence_subsample", inclusion, models_needed(n, size / n, 1 - size / n))
        return inclusion
