"""Lets OpenDataVal's evaluators, which fit one model after another, have all their models trained together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from opendataval.dataval import DataEvaluator
from torch.utils.data import Subset

from dvbench.models.losses import predictions
from dvbench.models.stacks import Stack
from dvbench.models.tensors import as_tensor
from dvbench.models.training import TensorModel

Result = TypeVar("Result")
# Not really a DataEvaluator: OpenDataVal would list it among its evaluators.
if TYPE_CHECKING:
    from opendataval.dataval import DataEvaluator as Mixin
else:
    Mixin = object


def together(evaluator: DataEvaluator, run: Callable[[], Result], reset: Callable[[], None] | None = None) -> Result:
    """Run code that clones, fits and asks an evaluator's model many times, with those fits made together.

    The code is run twice. In a rehearsal the model is a stand-in that only notes what its clones are fitted to; then
    all of them are trained, many at once, and the code runs again on what came out. So it must fit the same coalitions
    both times, whatever the models predict, and use one clone at a time.

    Parameters
    ----------
    evaluator : DataEvaluator
        With data and a model. One that is no `TensorModel` is fitted by the code itself.
    run : callable
    reset : callable, optional
        Undoes what the rehearsal did to the evaluator.

    Returns
    -------
    What ``run`` returns.
    """
    model = evaluator.pred_model
    if not isinstance(model, TensorModel):
        return run()
    try:
        evaluator.pred_model = rehearsal = _Rehearsal(model.num_classes)
        run()
        if reset is not None:
            reset()
        evaluator.pred_model = _Trained(model, evaluator.x_train, evaluator.y_train, rehearsal)
        return run()
    finally:
        evaluator.pred_model = model


class Together(Mixin):
    """Mixin before an OpenDataVal evaluator that fits one model after another: trains them `together`."""

    def train_data_values(self, *args: Any, **kwargs: Any) -> Any:
        """Train as OpenDataVal's class does, from new; the arguments are for the model's ``fit``."""

        def reset() -> None:
            self.random_state.set_state(state)
            self.input_data(self.x_train, self.y_train, *(getattr(self, part, None) for part in ("x_valid", "y_valid")))

        state, run = self.random_state.get_state(), super().train_data_values
        return together(self, lambda: run(*args, **kwargs), reset)


class _Rehearsal:
    """Notes the coalitions that it is fitted to, and knows nothing."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self.coalitions: list[np.ndarray] = []
        self.settings: dict[str, Any] = {}

    def clone(self) -> _Rehearsal:
        return self

    def fit(self, x: Any, y: Any, **settings: Any) -> _Rehearsal:
        self.coalitions.append(_members(x))
        self.settings = settings
        return self

    def predict(self, x: Any) -> torch.Tensor:
        return torch.zeros(len(x), self.outputs)


class _Trained:
    """The models of a rehearsal, in its order; they are trained as they are asked for, as many as fit at once."""

    def __init__(self, model: TensorModel, x: Any, y: Any, rehearsal: _Rehearsal) -> None:
        self.model, self.x, self.y = model, as_tensor(x), as_tensor(y)
        self.coalitions, self.settings = rehearsal.coalitions, rehearsal.settings
        self.number = -1
        self.ready: dict[int, Stack] = {}

    def clone(self) -> _Trained:
        return self

    def fit(self, x: Any, y: Any, **settings: Any) -> _Trained:
        self.number += 1
        if not np.array_equal(self.coalitions[self.number], _members(x)):
            raise RuntimeError(
                "the evaluator fits other coalitions than in rehearsal: its models cannot be trained together"
            )
        return self

    def predict(self, x: Any) -> torch.Tensor:
        if self.number not in self.ready:
            next_ones = self.coalitions[self.number :][: self.model.at_once(self.x, **self.settings)]
            self.ready = {
                self.number + int(number): models[place : place + 1]
                for numbers, models in self.model.fit_many(self.x, self.y, next_ones, **self.settings)
                for place, number in enumerate(numbers)
            }
        logits = self.ready[self.number].all_logits(as_tensor(x).to(self.model.device))[0].T
        return predictions(logits, self.y)


def _members(x: Any) -> np.ndarray:
    return np.asarray(x.indices) if isinstance(x, Subset) else np.arange(len(x))
