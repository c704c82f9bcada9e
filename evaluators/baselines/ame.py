"""Average marginal effect."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import AME

from dvbench.randomness import random_state as as_random_state
from evaluators.common.joint_training import Together


class BatchedAME(Together, AME):
    """OpenDataVal's, with all models trained together."""


def ame(models: int = 250, random_state: int | np.random.RandomState | None = None) -> AME:
    """AME: average marginal effect over coalitions of 20, 40, 60 and 80%, by a cross-validated lasso.

    The lasso sets most values to zero when models are few. Equal values are a tie, and tasks score ties as such.

    Parameters
    ----------
    models : int
        Fits for each of the four shares.
    random_state : int or RandomState, optional

    Returns
    -------
    AME
        OpenDataVal's.

    References
    ----------
    J. Lin et al. Measuring the effect of training data on deep learning predictions via randomized experiments. ICML
    2022.
    """
    return BatchedAME(models, random_state=as_random_state(random_state))
