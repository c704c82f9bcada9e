"""LAVA."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval import dataval

from dvbench.errors import UserError
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.baseline import Baseline
from evaluators.common.requirements import require_classes


class Lava(Baseline, dataval.LavaEvaluator):
    """LAVA: gradient of the class-wise Wasserstein distance between training and validation set, without any training.

    OpenDataVal's algorithm, without its reseeding of torch's global generator. It looks up distances between classes
    by position, so both the training and the validation set need a point of every class.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Not used: the values are deterministic.

    References
    ----------
    H. A. Just et al. LAVA: data valuation without pre-specified learning algorithms. ICLR 2023.
    """

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = as_random_state(random_state)
        with torch.random.fork_rng(devices=[]):  # OpenDataVal reseeds torch's global generator here
            super().__init__(random_state=self.random_state)

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> Lava:
        """Set the data, after a check that both sets have points of every class."""
        require_classes("lava", x_train, y_train)
        for name, y in (("training", y_train), ("validation", y_valid)):
            if not bool(as_tensor(y).any(dim=0).all()):
                raise UserError(f"lava needs every class in the {name} set; give it more points")
        super().input_data(x_train, y_train, x_valid, y_valid)
        return self
