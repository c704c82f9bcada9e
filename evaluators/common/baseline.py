"""Keeps a class that derives from one of OpenDataVal's evaluators out of OpenDataVal's registry."""

from __future__ import annotations

from typing import Any

from opendataval.dataval import DataEvaluator


class Baseline:
    """Mixin, listed before OpenDataVal's class, for an evaluator that OpenDataVal must not register.

    `DataEvaluator` registers every subclass under its lower-case name, and the last class of a name replaces those
    before it. So ``class DataShapley(Baseline, opendataval.dataval.DataShapley)`` without this mixin would change what
    OpenDataVal's own command line runs.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super(DataEvaluator, cls).__init_subclass__(**kwargs)  # leaves out DataEvaluator's hook, which registers
