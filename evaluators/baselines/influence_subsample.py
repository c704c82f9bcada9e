"""Influence by subsampling."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import InfluenceSubsample

from dvbench.randomness import random_state as as_random_state
from evaluators.common.joint_training import Together


class BatchedInfluenceSubsample(Together, InfluenceSubsample):
    """OpenDataVal's, with all models trained together."""


def influence_subsample(
    models: int = 1000, proportion: float = 0.7, random_state: int | np.random.RandomState | None = None
) -> InfluenceSubsample:
    """Influence by subsampling: mean performance of random subsets with a point, less that of those without it.

    Parameters
    ----------
    models : int
        Random subsets, one fit each.
    proportion : float
        Share of points in each.
    random_state : int or RandomState, optional

    Returns
    -------
    InfluenceSubsample
        OpenDataVal's.

    References
    ----------
    V. Feldman, C. Zhang. What neural networks memorize and why: discovering the long tail via influence estimation.
    NeurIPS 2020.
    """
    return BatchedInfluenceSubsample(models, proportion, random_state=as_random_state(random_state))
