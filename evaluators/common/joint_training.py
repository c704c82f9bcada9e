"""Lets OpenDataVal's evaluators, which fit one model after another, have all their models trained together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from opendataval.dataval import DataEvaluator
from torch.utils.data import Subset

from dvbench.problems.subsets import Subsets
from dvbench.training.losses import predictions
from dvbench.training.stacks import Stack
from dvbench.training.tensor_model import TensorModel
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import require_finite

Result = TypeVar("Result")
FIT = {"batch_size", "epochs", "lr"}  # settings that all models share
# Not really a DataEvaluator: OpenDataVal would list it among its evaluators.
if TYPE_CHECKING:
    from opendataval.dataval import DataEvaluator as Mixin
else:
    Mixin = object


def together(evaluator: DataEvaluator, run: Callable[[], Result], reset: Callable[[], None] | None = None) -> Result:
    """Run code that clones, fits and asks an evaluator's model many times, with those fits made together.

    The code is run twice. In a rehearsal the model is a stand-in that only notes what its clones are fitted to; then
    all of them are trained, many at once, and the code runs again on what came out. So it must fit the same coalitions
    both times, whatever the models predict. Code that does anything else with its clones than fitting each once to a
    `Subset` of the players, or to all of them, all alike, and asking for predictions, has them fitted one by one; so
    does code that fails on the uniform predictions of the rehearsal.

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
        evaluator.pred_model = rehearsal = _Rehearsal(model, evaluator.x_train, evaluator.y_train)
        with suppress(Exception):  # a genuine one comes again below
            run()
            evaluator.pred_model = _Trained(rehearsal)
        if evaluator.pred_model is rehearsal:
            evaluator.pred_model = model
        if reset is not None:
            reset()
        return run()
    finally:
        evaluator.pred_model = model


class Together(Mixin):
    """Mixin before an OpenDataVal evaluator that fits one model after another: trains them `together`."""

    takes_subsets = True  # its models are fitted to whatever the players stand for

    def train_data_values(self, *args: Any, **kwargs: Any) -> Any:
        """Train as OpenDataVal's class does, from new; the arguments are for the model's ``fit``."""

        def reset() -> None:
            self.random_state.set_state(state)
            self.input_data(self.x_train, self.y_train, *(getattr(self, part, None) for part in ("x_valid", "y_valid")))

        state, run = self.random_state.get_state(), super().train_data_values
        return together(self, lambda: run(*args, **kwargs), reset)


class _UnsuitableError(Exception):
    """What is done with the model cannot be done with many at once."""


class _Rehearsal:
    """Makes clones that note what they are fitted to, and know nothing."""

    def __init__(self, model: TensorModel, x: Any, y: Any) -> None:
        self.model, self.x, self.y = model, x, y
        self.coalitions: list[np.ndarray] = []
        self.settings: dict[str, Any] = {}

    def clone(self) -> _Clone:
        return _Clone(self)

    def fitted(self, members: np.ndarray, settings: dict[str, Any]) -> int:
        """Take note of a fit; its number."""
        if set(settings) - FIT or (self.coalitions and settings != self.settings):
            raise _UnsuitableError
        self.coalitions.append(members)
        self.settings = settings
        return len(self.coalitions) - 1

    def predict(self, number: int, x: Any) -> torch.Tensor:
        return torch.full((len(x), self.model.num_classes), 1 / self.model.num_classes)

    def members(self, x: Any, y: Any) -> np.ndarray:
        """Which players these are: all, or a subset of them with their own labels."""
        if x is self.x and y is self.y:
            return np.arange(len(x))
        if not (isinstance(x, Subset) and isinstance(y, Subset) and x.dataset is self.x and y.dataset is self.y):
            raise _UnsuitableError
        members = np.asarray(x.indices)
        if x.indices is not y.indices and not np.array_equal(members, np.asarray(y.indices)):
            raise _UnsuitableError
        return members


class _Trained(_Rehearsal):
    """The models of a rehearsal, in its order; they are trained as they are asked for, as many as fit at once."""

    def __init__(self, rehearsal: _Rehearsal) -> None:
        super().__init__(rehearsal.model, rehearsal.x, rehearsal.y)
        self.coalitions, self.settings = rehearsal.coalitions, rehearsal.settings
        self.count = 0
        self.taken = self.coalitions
        if isinstance(self.x, Subsets):
            self.points, self.targets = self.x.points, self.y.points
            self.taken = [self.x.expand(coalition) for coalition in self.coalitions]
        else:
            self.points, self.targets = as_tensor(self.x), as_tensor(self.y)
        self.ready: dict[int, Stack] = {}

    def fitted(self, members: np.ndarray, settings: dict[str, Any]) -> int:
        known = self.count < len(self.coalitions) and np.array_equal(self.coalitions[self.count], members)
        if not known or settings != self.settings:
            raise RuntimeError("the evaluator fits other coalitions than in rehearsal: they depend on its models")
        self.count += 1
        return self.count - 1

    def predict(self, number: int, x: Any) -> torch.Tensor:
        if number not in self.ready:
            next_ones = self.taken[number:][: self.model.at_once(self.points, **self.settings)]
            self.ready = {
                number + int(place): models[i : i + 1]
                for places, models in self.model.fit_many(self.points, self.targets, next_ones, **self.settings)
                for i, place in enumerate(places)
            }
        logits = require_finite(self.ready[number].all_outputs(as_tensor(x).to(self.model.device)))
        return predictions(logits[0].T, self.targets)


class _Clone:
    """One model among those of a rehearsal."""

    def __init__(self, models: _Rehearsal) -> None:
        self.models = models
        self.number: int | None = None

    def clone(self) -> _Clone:
        if self.number is not None:
            raise _UnsuitableError
        return _Clone(self.models)

    def fit(self, x: Any, y: Any, **settings: Any) -> _Clone:
        if self.number is not None:
            raise _UnsuitableError
        self.number = self.models.fitted(self.models.members(x, y), settings)
        return self

    def predict(self, x: Any) -> torch.Tensor:
        if self.number is None:
            raise _UnsuitableError
        return self.models.predict(self.number, x)
