"""Data Banzhaf."""

from __future__ import annotations

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.joint_training import JointTraining


class DataBanzhaf(JointTraining, Baseline, dataval.DataBanzhaf):
    """Data Banzhaf: mean utility of random halves with a point, minus that of random halves without it.

    OpenDataVal's maximum sample reuse estimator, with its models trained jointly. Its estimator from marginal
    contributions is not used, because its weights vanish from 1,024 points on.

    Parameters
    ----------
    models : int
        Number of random halves. Each costs one fit.
    random_state : int or RandomState, optional

    References
    ----------
    J. T. Wang, R. Jia. Data Banzhaf: a robust data valuation framework for machine learning. AISTATS 2023.
    """

    def __init__(self, models: int = 1000, random_state: int | np.random.RandomState | None = None) -> None:
        self.models = models
        super().__init__(num_models=models, random_state=as_random_state(random_state))
