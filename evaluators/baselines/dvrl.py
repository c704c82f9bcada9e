"""Data valuation using reinforcement learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval.dataval import DVRL

from dvbench.randomness import random_state as as_random_state
from evaluators.common.requirements import require_features


class IsolatedDVRL(DVRL):
    """OpenDataVal's DVRL, which reseeds torch's global generator when it is given data, kept from doing so."""

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> IsolatedDVRL:
        """Take the data and build the value estimator."""
        require_features("dvrl", x_train)
        with torch.random.fork_rng(devices=[]):
            return super().input_data(x_train, y_train, x_valid, y_valid)


def dvrl(
    rl_epochs: int = 1000,
    rl_batch_size: int = 32,
    lr: float = 0.01,
    random_state: int | np.random.RandomState | None = None,
) -> DVRL:
    """DVRL: selection probabilities of a value estimator that is trained by reinforcement.

    Parameters
    ----------
    rl_epochs : int
        Steps of the value estimator, one fit each.
    rl_batch_size : int
        Points in each.
    lr : float
        Learning rate of the value estimator.
    random_state : int or RandomState, optional

    Returns
    -------
    DVRL
        OpenDataVal's, kept from torch's global generator.

    References
    ----------
    J. Yoon, S. Arik, T. Pfister. Data valuation using reinforcement learning. ICML 2020.
    """
    state = as_random_state(random_state)
    return IsolatedDVRL(rl_epochs=rl_epochs, rl_batch_size=rl_batch_size, lr=lr, random_state=state)
