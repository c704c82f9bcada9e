"""Random values."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from dvbench.settings import Role
from evaluators.common.baseline import Baseline


class Random(Baseline, dataval.RandomEvaluator):
    """Random values: uniform between 0 and 1, the baseline that every evaluator has to beat.

    Parameters
    ----------
    random_state : int or RandomState, optional

    Notes
    -----
    Variant: OpenDataVal's random values.

    Values: no unit and no meaning, between 0 and 1.

    Takes: everything.

    Between processors: equal to the bit.
    """

    uses_validation = False
    role: ClassVar[Role] = "random"

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state=as_random_state(random_state))
