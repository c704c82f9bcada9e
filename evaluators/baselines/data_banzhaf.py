"""Data Banzhaf."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from opendataval import dataval

from dvbench.number_checks import whole_number
from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.coalitions import (
    coalition_utilities,
    coalitions_of,
    every_inclusion,
    models_needed,
    require_in_and_out,
    sums_without_and_with,
)


class DataBanzhaf(Baseline, dataval.DataBanzhaf):
    """Data Banzhaf: mean utility of random coalitions with a point, minus that of random coalitions without it.

    Each coalition contains each point with probability one half, so all coalitions are equally likely. If there are
    not more coalitions than models, each is trained once and the values are exact.

    Parameters
    ----------
    models : int
        Number of random coalitions. Each costs one fit.
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: the paper's maximum sample reuse estimator, as in OpenDataVal, whose loop skips player 0 alone and the
    empty coalition. Here both are trained. OpenDataVal's other estimator, from marginal contributions, is not used,
    because its weights vanish from 1,024 points on.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it.

    Takes: classifications, regressions and texts; points and subsets.

    Between processors: equal, unless rounding changes a prediction, and with it a utility by one correct prediction
    (docs/repeatability.md).

    References
    ----------
    J. T. Wang, R. Jia. Data Banzhaf: a robust data valuation framework for machine learning. AISTATS 2023,
    arXiv:2205.15466.
    """

    version: ClassVar[str] = "0.2.0"
    takes_subsets = True  # models can be fitted to players that are subsets of points

    def __init__(self, models: int = 1000, random_state: int | np.random.RandomState | None = None) -> None:
        self.models = whole_number("models", models, least=2)
        super().__init__(num_models=self.models, random_state=as_random_state(random_state))

    def train_data_values(self, *args: Any, **kwargs: Any) -> DataBanzhaf:
        """Draw coalitions and compute their utilities; a second call starts anew.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.

        Raises
        ------
        UserError
            If a player is in all or in none of the coalitions.
        """
        n = self.num_points
        if 2**n <= self.models:
            inclusion = every_inclusion(n)
        else:
            inclusion = self.random_state.binomial(1, 0.5, size=(self.models, n)).astype(bool)
            require_in_and_out("data_banzhaf", inclusion, models_needed(n, 0.5, 0.5))
        utilities = coalition_utilities(self, coalitions_of(inclusion), *args, **kwargs)
        self.sample_utility, self.sample_counts = sums_without_and_with(inclusion, utilities)
        return self
