"""Average marginal effect."""

from __future__ import annotations

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.joint_training import JointTraining


class AME(JointTraining, Baseline, dataval.AME):
    """AME: average marginal effect over coalitions of 20, 40, 60 and 80% of players, by a cross-validated lasso.

    OpenDataVal's algorithm, with its models trained jointly. The lasso sets most values to zero if there are few
    models. Equal values are a tie, and tasks score them as a tie.

    Parameters
    ----------
    models : int
        Models to fit for each of the four proportions.
    random_state : int or RandomState, optional

    References
    ----------
    J. Lin et al. Measuring the effect of training data on deep learning predictions via randomized experiments. ICML
    2022.
    """

    def __init__(self, models: int = 250, random_state: int | np.random.RandomState | None = None) -> None:
        self.models = models
        super().__init__(num_models=models, random_state=as_random_state(random_state))
