"""Leave-one-out."""

from __future__ import annotations

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.joint_training import JointTraining


class LeaveOneOut(JointTraining, Baseline, dataval.LeaveOneOut):
    """Leave-one-out: the utility that is lost by training without a point.

    OpenDataVal's algorithm, with its models trained jointly.

    Parameters
    ----------
    random_state : int or RandomState, optional

    References
    ----------
    R. D. Cook. Detection of influential observation in linear regression. Technometrics 19(1), 1977.
    """

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state=as_random_state(random_state))
