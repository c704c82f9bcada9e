"""Data-OOB."""

from __future__ import annotations

from typing import Any

import numpy as np
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.joint_training import JointTraining
from evaluators.common.requirements import require_features


class DataOob(JointTraining, Baseline, dataval.DataOob):
    """Data-OOB: the metric on a point of models trained on bootstrap samples that do not contain the point.

    OpenDataVal's algorithm, with its models trained jointly.

    Parameters
    ----------
    models : int
        Number of bootstrap samples. Each costs one fit.
    random_state : int or RandomState, optional

    References
    ----------
    Y. Kwon, J. Zou. Data-OOB: out-of-bag estimate as a simple and efficient data value. ICML 2023.
    """

    takes_subsets = False  # it asks models for predictions on single players, which a subset of points is not

    def __init__(self, models: int = 1000, random_state: int | np.random.RandomState | None = None) -> None:
        self.models = models
        super().__init__(num_models=models, random_state=as_random_state(random_state))

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> DataOob:
        """Set the data, after a check that they have features."""
        require_features("data_oob", x_train)
        super().input_data(x_train, y_train, x_valid, y_valid)
        return self
