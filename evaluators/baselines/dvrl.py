"""Data valuation using reinforcement learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval import dataval

from dvbench.randomness import random_state as as_random_state
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import require_features


class DVRL(Baseline, dataval.DVRL):
    """DVRL: probabilities of selection by a value estimator that is trained by reinforcement learning.

    OpenDataVal's algorithm, without its reseeding of torch's global generator.

    Its values repeat to the bit on one kind of processor, but not between kinds of processors, not even approximately:
    training amplifies differences in rounding. Spearman correlations of 0.25 to 0.51 were measured between the values
    that different devices gave.

    Parameters
    ----------
    rl_epochs : int
        Training steps of the value estimator. Each costs one fit.
    rl_batch_size : int
        Points in each step.
    lr : float
        Learning rate of the value estimator.
    random_state : int or RandomState, optional

    References
    ----------
    J. Yoon, S. Arik, T. Pfister. Data valuation using reinforcement learning. ICML 2020.
    """

    def __init__(
        self,
        rl_epochs: int = 1000,
        rl_batch_size: int = 32,
        lr: float = 0.01,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        state = as_random_state(random_state)
        super().__init__(rl_epochs=rl_epochs, rl_batch_size=rl_batch_size, lr=lr, random_state=state)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> DVRL:
        """Set the data and build the value estimator."""
        require_features("dvrl", x_train)
        with torch.random.fork_rng(devices=[]):  # OpenDataVal reseeds torch's global generator here
            super().input_data(x_train, y_train, x_valid, y_valid)
            return self
