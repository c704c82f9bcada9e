"""Data-OOB."""

from __future__ import annotations

from typing import Any

import numpy as np
from opendataval.dataval import DataOob

from dvbench.randomness import random_state as as_random_state
from evaluators.common.joint_training import Together
from evaluators.common.requirements import require_features


class BatchedDataOob(Together, DataOob):
    """OpenDataVal's, with all models trained together."""

    takes_subsets = False  # it also asks its models about players one by one

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> BatchedDataOob:
        """Take the data."""
        require_features("data_oob", x_train)
        return super().input_data(x_train, y_train, x_valid, y_valid)


def data_oob(models: int = 1000, random_state: int | np.random.RandomState | None = None) -> DataOob:
    """Data-OOB: how well models trained on bootstrap samples predict a point that they have not seen.

    Parameters
    ----------
    models : int
        Bootstrap samples, one fit each.
    random_state : int or RandomState, optional

    Returns
    -------
    DataOob
        OpenDataVal's.

    References
    ----------
    Y. Kwon, J. Zou. Data-OOB: out-of-bag estimate as a simple and efficient data value. ICML 2023.
    """
    return BatchedDataOob(models, random_state=as_random_state(random_state))
