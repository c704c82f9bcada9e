"""Influence by subsampling."""

from __future__ import annotations

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.joint_training import JointTraining


class InfluenceSubsample(JointTraining, Baseline, dataval.InfluenceSubsample):
    """Influence by subsampling: mean utility of random subsets with a point, minus that of subsets without it.

    OpenDataVal's algorithm, with its models trained jointly.

    Parameters
    ----------
    models : int
        Number of random subsets. Each costs one fit.
    proportion : float
        Proportion of the points that each subset contains.
    random_state : int or RandomState, optional

    References
    ----------
    V. Feldman, C. Zhang. What neural networks memorize and why: discovering the long tail via influence estimation.
    NeurIPS 2020.
    """

    def __init__(
        self, models: int = 1000, proportion: float = 0.7, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.models = models
        super().__init__(num_models=models, proportion=proportion, random_state=as_random_state(random_state))
