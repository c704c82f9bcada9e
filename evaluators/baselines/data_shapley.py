"""Data Shapley."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import DataShapley

from evaluators.common.sampling import PermutationSampler


class SampledDataShapley(DataShapley):
    """OpenDataVal's, which values subsets just as well."""

    takes_subsets = True


def data_shapley(permutations: int = 10, random_state: int | np.random.RandomState | None = None) -> DataShapley:
    """Data Shapley: Shapley values of a retrained model's performance, from random permutations.

    Parameters
    ----------
    permutations : int
        Each costs one fit a player. Where enumerating all coalitions takes no more fits, values are exact.
    random_state : int or RandomState, optional

    Returns
    -------
    DataShapley
        OpenDataVal's, with a sampler that neither caches nor truncates.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019.
    """
    return SampledDataShapley(sampler=PermutationSampler(permutations, random_state=random_state))
