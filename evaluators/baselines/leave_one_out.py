"""Leave-one-out."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import LeaveOneOut

from dvbench.randomness import random_state as as_random_state
from evaluators.common.joint_training import Together


class BatchedLeaveOneOut(Together, LeaveOneOut):
    """OpenDataVal's, with all models trained together."""


def leave_one_out(random_state: int | np.random.RandomState | None = None) -> LeaveOneOut:
    """Leave-one-out: the performance lost by training without a point.

    Parameters
    ----------
    random_state : int or RandomState, optional

    Returns
    -------
    LeaveOneOut
        OpenDataVal's.

    References
    ----------
    R. D. Cook. Detection of influential observation in linear regression. Technometrics 19(1), 1977.
    """
    return BatchedLeaveOneOut(random_state=as_random_state(random_state))
