"""Measures: test utilities of trained models other than that of the problem. A task names those that it needs.

``utility`` is the utility of the problem itself, and ``other_model`` is that of another model, trained on the same
coalitions; see `other_model`. ``points`` are several: the negative losses on single points of the validation set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dvbench.errors import UserError
from dvbench.problems.problem import Problem
from dvbench.settings import ModelSettings
from dvbench.training.losses import model_losses
from dvbench.training.utilities import model_utilities

OTHER_MODEL = "other_model"
POINTS = "points"
HIDDEN = 32  # units of the other model of a problem with logistic regression


def measured(name: str, problem: Problem, y: torch.Tensor, outputs: torch.Tensor) -> np.ndarray:
    """Measure models on the test set; higher is better.

    Parameters
    ----------
    name : {"utility", "log_loss", "f1"}
        The problem's own utility; the negative mean loss, which is the negative mean squared error of regression and
        the negative logarithm of perplexity of texts; or the mean over classes of the F1 score.
    problem : Problem
    y : torch.Tensor of shape (n, outputs)
    outputs : torch.Tensor of shape (models, outputs, n)

    Returns
    -------
    numpy.ndarray of shape (models,)

    Raises
    ------
    UserError
        If the problem is no classification, and the measure is for classes only.
    FloatingPointError
        If an output or a measure is NaN or infinite.
    """
    if name == "f1":
        check_classes(problem)
        return np.array([_macro_f1(y.argmax(dim=1), classes) for classes in outputs.argmax(dim=1)])
    utilities = model_utilities(problem.metric, y, outputs)
    if name == "utility" or problem.kind == "regression":
        return utilities
    if problem.kind == "language":
        return np.asarray(-np.log(-utilities))
    losses: np.ndarray = model_losses(outputs, y).double().mean(dim=1).cpu().numpy()
    return -losses


def measured_on_points(problem: Problem, y: torch.Tensor, outputs: torch.Tensor) -> np.ndarray:
    """Measure models on single points: the negative log loss on each, or the negative squared error.

    The log loss of a text is the mean over those of its tokens that the loss includes.

    Parameters
    ----------
    problem : Problem
    y : torch.Tensor of shape (n, outputs)
    outputs : torch.Tensor of shape (models, outputs, n)

    Returns
    -------
    numpy.ndarray of shape (n, models)

    Raises
    ------
    FloatingPointError
        If an output or a measure is NaN or infinite.
    """
    points = (slice(number, number + 1) for number in range(len(y)))
    return np.array([measured("log_loss", problem, y[point], outputs[:, :, point]) for point in points])


def check_classes(problem: Problem) -> None:
    """Raise a `UserError` if a problem has no classes."""
    if problem.kind != "classification":
        raise UserError("the F1 score is for classes only: the problem has none")


def other_model(model: ModelSettings) -> ModelSettings:
    """The model that a task trains beside that of the problem: logistic regression, or a small MLP beside that."""
    if model.name == "logistic_regression":
        return ModelSettings(name="mlp", params={"hidden": [HIDDEN]})
    return ModelSettings(name="logistic_regression")


def of_trained(measures: Sequence[str]) -> list[str]:
    """Those of some measures that are measured on the problem's own model."""
    return [name for name in measures if name != OTHER_MODEL]


def _macro_f1(labels: torch.Tensor, predicted: torch.Tensor) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels.cpu().numpy(), predicted.cpu().numpy(), average="macro", zero_division=0))
