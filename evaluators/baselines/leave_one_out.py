"""Leave-one-out."""

from __future__ import annotations

from typing import Any

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.coalitions import coalition_utilities


class LeaveOneOut(Baseline, dataval.LeaveOneOut):
    """Leave-one-out: the utility that is lost by training without a point.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Source of the order in which models are given the other points.

    Notes
    -----
    Variant: OpenDataVal's. The loss of utility is exact for the model's seed, on which it depends strongly: a model
    without a point also sees the other points in other minibatches.

    Values: gain of utility, in its unit (for accuracy a fraction); positive values raise it.

    Takes: classifications, regressions and texts; points and subsets.

    Between processors: equal, unless rounding changes a prediction, and with it a utility by one correct prediction
    (docs/repeatability.md).

    References
    ----------
    R. D. Cook. Detection of influential observation in linear regression. Technometrics 19(1), 1977,
    doi:10.1080/00401706.1977.10489493.
    """

    takes_subsets = True  # models can be fitted to players that are subsets of points

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state=as_random_state(random_state))

    def train_data_values(self, *args: Any, **kwargs: Any) -> LeaveOneOut:
        """Compute the values.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the model's ``fit``.
        """
        order = self.random_state.permutation(self.num_points)
        coalitions = [np.arange(self.num_points), *(np.delete(order, i) for i in range(self.num_points))]
        full, *without = coalition_utilities(self, coalitions, *args, **kwargs)
        self.data_values = np.zeros(self.num_points)
        self.data_values[order] = full - np.array(without)
        return self
