"""LAVA."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from opendataval.dataval import LavaEvaluator

from dvbench.errors import UserError
from dvbench.randomness import random_state as as_random_state
from dvbench.training.tensors import as_tensor
from evaluators.common.requirements import require_classes


class CheckedLava(LavaEvaluator):
    """OpenDataVal's LAVA, which finds class distances by position and so needs every class in both parts."""

    def input_data(self, x_train: Any, y_train: Any, x_valid: Any, y_valid: Any) -> CheckedLava:
        """Take the data, after a look at its classes."""
        require_classes("lava", x_train, y_train)
        for name, y in (("training", y_train), ("validation", y_valid)):
            if not bool(as_tensor(y).any(dim=0).all()):
                raise UserError(f"lava needs every class in the {name} set; give it more points")
        return super().input_data(x_train, y_train, x_valid, y_valid)


def lava(random_state: int | np.random.RandomState | None = None) -> LavaEvaluator:
    """LAVA: gradient of the class-wise Wasserstein distance between training and validation set, without any training.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Not used: the values are deterministic.

    Returns
    -------
    LavaEvaluator
        OpenDataVal's, kept from reseeding torch's global generator.

    References
    ----------
    H. A. Just et al. LAVA: data valuation without pre-specified learning algorithms. ICLR 2023.
    """
    with torch.random.fork_rng(devices=[]):
        return CheckedLava(random_state=as_random_state(random_state))
