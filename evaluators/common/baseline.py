"""What all classes that derive from OpenDataVal's evaluators have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opendataval.dataval import DataEvaluator

from dvbench.training.batch_normalisation import normalise_lone_points

# For the type checker only: Baseline stands before both in the order of base classes.
if TYPE_CHECKING:
    from opendataval.dataval import ModelMixin as MixinBase
else:
    MixinBase = object


class Baseline(MixinBase):
    """Mixin, listed before OpenDataVal's class.

    It keeps the class out of OpenDataVal's registry. `DataEvaluator` registers every subclass under its lower-case
    name, and the last class of a name replaces those before it. So ``class DataShapley(Baseline,
    opendataval.dataval.DataShapley)`` without this mixin would change what OpenDataVal's own command line runs.

    And it makes networks with batch normalisation accept a minibatch of one point, which OpenDataVal's training makes
    of what remains at the end of an epoch.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super(DataEvaluator, cls).__init_subclass__(**kwargs)  # leaves out DataEvaluator's hook, which registers

    def input_model(self, pred_model: Any) -> Any:
        """Set the model, as a clone; see OpenDataVal's class."""
        super().input_model(pred_model)
        normalise_lone_points(self.pred_model)
        return self
