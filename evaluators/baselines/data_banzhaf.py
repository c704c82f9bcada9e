"""Data Banzhaf."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import DataBanzhaf

from dvbench.randomness import random_state as as_random_state
from evaluators.common.joint_training import Together


class BatchedDataBanzhaf(Together, DataBanzhaf):
    """OpenDataVal's, with all models trained together."""


def data_banzhaf(models: int = 1000, random_state: int | np.random.RandomState | None = None) -> DataBanzhaf:
    """Data Banzhaf: mean performance of random halves with a point, less that of those without it.

    Parameters
    ----------
    models : int
        Random halves, one fit each.
    random_state : int or RandomState, optional

    Returns
    -------
    DataBanzhaf
        OpenDataVal's maximum sample reuse estimator. (Its estimator from marginal contributions is not used: its
        weights vanish from 1,024 points on.)

    References
    ----------
    J. T. Wang, R. Jia. Data Banzhaf: a robust data valuation framework for machine learning. AISTATS 2023.
    """
    return BatchedDataBanzhaf(models, random_state=as_random_state(random_state))
