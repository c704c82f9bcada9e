"""Random values."""

from __future__ import annotations

import numpy as np
from opendataval.dataval import RandomEvaluator

from dvbench.randomness import random_state as as_random_state


def random(random_state: int | np.random.RandomState | None = None) -> RandomEvaluator:
    """Random values: what every evaluator has to beat.

    Parameters
    ----------
    random_state : int or RandomState, optional

    Returns
    -------
    RandomEvaluator
        OpenDataVal's.
    """
    return RandomEvaluator(random_state=as_random_state(random_state))
