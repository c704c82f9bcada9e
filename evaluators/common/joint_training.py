"""Trains the models of OpenDataVal's evaluators, which fit one model after another, jointly as one stack."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import torch
from opendataval.dataval import DataEvaluator
from torch.utils.data import Subset

from dvbench.problems.subsets import Subsets
from dvbench.progress import advance
from dvbench.training.losses import predictions
from dvbench.training.stacks import Stack
from dvbench.training.tensor_model import TensorModel
from dvbench.training.tensors import as_tensor
from dvbench.training.utilities import require_finite

Result = TypeVar("Result")
FIT_SETTINGS = {"batch_size", "epochs", "lr"}  # arguments of ``fit`` that models in a stack have in common
PREDICTED_NUMBERS = 2**24  # 64 MiB of predictions on the validation set that are computed together


def train_jointly(evaluator: DataEvaluator, run: Callable[[], Result]) -> Result:
    """Run code that clones, fits and evaluates an evaluator's model many times, and train those models jointly.

    The code runs twice. In the first run a stand-in replaces the model; it only records which players each clone is
    fitted to, and its predictions are uniform. Then all models are trained, many at a time, and in the second run the
    code gets their predictions. So the code must fit the same coalitions in both runs, whatever the models predict.

    Models are fitted one by one instead, as without this function, if the code uses a clone in another way than this:
    fit it once, to a `Subset` of the players or to all of them, with the same settings for every clone, and then ask
    for predictions. The same holds if the code fails on uniform predictions.

    Parameters
    ----------
    evaluator : DataEvaluator
        An evaluator that has its data and its model. If the model is no `TensorModel`, the code runs once, unchanged.
    run : callable
        The code. It must not change the evaluator.

    Returns
    -------
    The result of ``run``.
    """
    model = evaluator.pred_model
    if not isinstance(model, TensorModel):
        return run()
    try:
        evaluator.pred_model = recorder = _FitRecorder(
            model, evaluator.x_train, evaluator.y_train, getattr(evaluator, "x_valid", None)
        )
        with suppress(Exception):  # an error of the code itself is raised again in the second run
            run()
            evaluator.pred_model = _TrainedModels(recorder)
        if evaluator.pred_model is recorder:
            evaluator.pred_model = model
        return run()
    finally:
        evaluator.pred_model = model


class _NotStackableError(Exception):
    """The code uses its models in a way that a stack of models does not support."""


class _FitRecorder:
    """Stands in for the model in the first run: records the fits of its clones."""

    def __init__(self, model: TensorModel, x: Any, y: Any, x_valid: Any) -> None:
        self.model, self.x, self.y, self.x_valid = model, x, y, x_valid
        self.coalitions: list[np.ndarray] = []
        self.settings: dict[str, Any] = {}

    def clone(self) -> _Clone:
        return _Clone(self)

    def add_fit(self, members: np.ndarray, settings: dict[str, Any]) -> int:
        """Record a fit and return its number."""
        if set(settings) - FIT_SETTINGS or (self.coalitions and settings != self.settings):
            raise _NotStackableError
        self.coalitions.append(members)
        self.settings = settings
        return len(self.coalitions) - 1

    def predict(self, fit: int, x: Any) -> torch.Tensor:
        return torch.full((len(x), self.model.num_classes), 1 / self.model.num_classes)

    def player_numbers(self, x: Any, y: Any) -> np.ndarray:
        """Numbers of the players in ``x``, which must be all players or a `Subset` of them, with their own targets."""
        if x is self.x and y is self.y:
            return np.arange(len(x))
        if not (isinstance(x, Subset) and isinstance(y, Subset) and x.dataset is self.x and y.dataset is self.y):
            raise _NotStackableError
        members = np.asarray(x.indices)
        if x.indices is not y.indices and not np.array_equal(members, np.asarray(y.indices)):
            raise _NotStackableError
        return members


class _TrainedModels(_FitRecorder):
    """Stands in for the model in the second run: trains the recorded models, as many at once as fit into memory.

    Models are trained in the order of the first run, and a batch of them only when the code asks for a prediction.
    """

    def __init__(self, recorder: _FitRecorder) -> None:
        super().__init__(recorder.model, recorder.x, recorder.y, recorder.x_valid)
        self.coalitions, self.settings = recorder.coalitions, recorder.settings
        self.fits = 0  # fits in this run so far
        self.point_sets = self.coalitions
        if isinstance(self.x, Subsets):
            self.points, self.targets = self.x.points, self.y.points
            self.point_sets = [self.x.expand(coalition) for coalition in self.coalitions]
        else:
            self.points, self.targets = as_tensor(self.x), as_tensor(self.y)
        self.trained: list[tuple[list[int], Stack]] = []  # the batch of models trained last, with their numbers of fits
        self.models: dict[int, Stack] = {}  # the same models one by one
        self.on_validation: dict[int, torch.Tensor] = {}  # their predictions on the validation set, if asked for

    def add_fit(self, members: np.ndarray, settings: dict[str, Any]) -> int:
        recorded = self.fits < len(self.coalitions) and np.array_equal(self.coalitions[self.fits], members)
        if not recorded or settings != self.settings:
            raise RuntimeError(
                "the evaluator fits other coalitions in its second run than in its first: a coalition must not depend "
                "on what models predict"
            )
        self.fits += 1
        return self.fits - 1

    def predict(self, fit: int, x: Any) -> torch.Tensor:
        if fit not in self.models:
            self._train_from(fit)
        if x is not self.x_valid or len(self.models) * len(x) * self.model.num_classes > PREDICTED_NUMBERS:
            return self._predictions(self.models[fit], x)[0]
        if not self.on_validation:
            for fits, models in self.trained:
                self.on_validation.update(zip(fits, self._predictions(models, x), strict=True))
        return self.on_validation[fit]

    def _train_from(self, fit: int) -> None:
        batch = self.point_sets[fit:][: self.model.at_once(self.points, **self.settings)]
        groups = self.model.fit_many(self.points, self.targets, batch, **self.settings)
        advance(fit, len(self.point_sets))
        self.trained = [([fit + int(number) for number in numbers], models) for numbers, models in groups]
        self.models = {number: models[i : i + 1] for fits, models in self.trained for i, number in enumerate(fits)}
        self.on_validation = {}

    def _predictions(self, models: Stack, x: Any) -> torch.Tensor:
        """Predictions of models on points, (k, n, outputs)."""
        logits = require_finite(models.all_outputs(as_tensor(x).to(self.model.device)))
        return predictions(logits, self.targets).transpose(1, 2)


class _Clone:
    """A clone of the model in either run."""

    def __init__(self, recorder: _FitRecorder) -> None:
        self.recorder = recorder
        self.number: int | None = None  # of its fit

    def clone(self) -> _Clone:
        if self.number is not None:
            raise _NotStackableError
        return _Clone(self.recorder)

    def fit(self, x: Any, y: Any, **settings: Any) -> _Clone:
        if self.number is not None:
            raise _NotStackableError
        self.number = self.recorder.add_fit(self.recorder.player_numbers(x, y), settings)
        return self

    def predict(self, x: Any) -> torch.Tensor:
        if self.number is None:
            raise _NotStackableError
        return self.recorder.predict(self.number, x)
