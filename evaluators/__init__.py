"""Data valuation methods: Unlearning, CHG and Warm-start Shapley, their kin, and OpenDataVal's with safe settings.

Importing a name imports OpenDataVal and torch; importing this package does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluators.chg_shapley import CHGShapley
    from evaluators.gradient_shapley import GradientShapley
    from evaluators.hardness_shapley import HardnessShapley
    from evaluators.partial_unlearning_shapley import PartialUnlearningShapley
    from evaluators.trac_in import TracIn
    from evaluators.unlearning_shapley import UnlearningShapley
    from evaluators.warm_start_shapley import WarmStartShapley

__all__ = [
    "CHGShapley",
    "GradientShapley",
    "HardnessShapley",
    "PartialUnlearningShapley",
    "TracIn",
    "UnlearningShapley",
    "WarmStartShapley",
]

_MODULES = {
    "CHGShapley": "chg_shapley",
    "GradientShapley": "gradient_shapley",
    "HardnessShapley": "hardness_shapley",
    "PartialUnlearningShapley": "partial_unlearning_shapley",
    "TracIn": "trac_in",
    "UnlearningShapley": "unlearning_shapley",
    "WarmStartShapley": "warm_start_shapley",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'evaluators' has no attribute '{name}'")
    return getattr(importlib.import_module(f"evaluators.{_MODULES[name]}"), name)
