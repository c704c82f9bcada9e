"""What all classes that derive from OpenDataVal's evaluators have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from opendataval.dataval import DataEvaluator, ModelMixin

from dvbench.training.batch_normalisation import normalise_lone_points
from evaluators.common.array_input import ArrayInput, check_input


class Baseline(ArrayInput):
    """Mixin, listed before OpenDataVal's class.

    It keeps the class out of OpenDataVal's registry. `DataEvaluator` registers every subclass under its lower-case
    name, and the last class of a name replaces those before it. So ``class DataShapley(Baseline,
    opendataval.dataval.DataShapley)`` without this mixin would change what OpenDataVal's own command line runs.

    And where an evaluator takes a model, it makes networks with batch normalisation accept a minibatch of one point,
    which OpenDataVal's training makes of what remains at the end of an epoch.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super(DataEvaluator, cls).__init_subclass__(**kwargs)  # leaves out DataEvaluator's hook, which registers
        check_input(cls)
        if issubclass(cls, ModelMixin):  # others have no such method, which tells that they need no model
            cls.input_model = _with_lone_points(cls.input_model)  # type: ignore[attr-defined]


def _with_lone_points(input_model: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method ``input_model`` that also prepares the model, which it keeps as a clone, for single points."""

    @wraps(input_model)
    def prepared(self: Any, pred_model: Any) -> Any:
        input_model(self, pred_model)
        normalise_lone_points(self.pred_model)
        return self

    return prepared
