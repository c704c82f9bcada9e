"""Makes an unlearning method of its name, and what carries it out on a model."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from dvbench.errors import UserError, unknown
from dvbench.registry import find
from dvbench.training.language_model import LanguageModel
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning.stacked_engine import StackedUnlearner


def make_method(name: str, /, **settings: Any) -> UnlearningMethod:
    """Make an unlearning method.

    Parameters
    ----------
    name : str
        A registered name, or ``module:Class``.
    **settings
        Of its constructor.

    Raises
    ------
    UserError
        If there is none of that name, or it does not take these settings.
    """
    entry = find("unlearning", name)
    make = entry.load()
    if dataclasses.is_dataclass(make):
        known = [field.name for field in dataclasses.fields(make)]
        for setting in settings:
            if setting not in known:
                raise unknown(f"parameter of {entry.name}", setting, known)
    try:
        method = make(**settings)
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's constructor brings about
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot make unlearning method {name}: {reason}") from error
    if not isinstance(method, UnlearningMethod):
        raise UserError(f"{name} is no unlearning method: derive it from dvbench.unlearning.contract.UnlearningMethod")
    return method


def chosen_method(method: str | UnlearningMethod, lambda1: float, lambda2: float, **settings: Any) -> UnlearningMethod:
    """Make the method that an evaluator was asked for, or take one that is made.

    Parameters
    ----------
    method : str or UnlearningMethod
        A name, or a method with settings of its own, to which no others are applied.
    lambda1, lambda2 : float
        Of ``gradient_ascent``; 1 for all others.
    **settings
        That every method takes.

    Raises
    ------
    UserError
        If there is none of that name, or it does not take these settings.
    ValueError
        If a lambda is not 1 for a method that has none.
    """
    if method == "gradient_ascent":
        return make_method(method, lambda1=lambda1, lambda2=lambda2, **settings)
    if (lambda1, lambda2) != (1.0, 1.0):
        raise ValueError("lambda1 and lambda2 are gradient_ascent's; another method does not take them")
    return method if isinstance(method, UnlearningMethod) else make_method(method, **settings)


def make_unlearner(
    model: nn.Module,
    points: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor],
    method: UnlearningMethod,
    budget: int | None = None,
) -> Unlearner:
    """Make the engine that unlearns coalitions: of points from any model, of texts from a language model.

    Parameters
    ----------
    model : torch.nn.Module
    points, validation : tuple of torch.Tensor
        Features and targets of all players' points, and of the validation set.
    method : UnlearningMethod
    budget : int, optional
        Bytes that the models unlearned at once may take.

    Raises
    ------
    ValueError
        If the model does not suit the method.
    """
    if isinstance(model, LanguageModel):
        return LanguageModelUnlearner(model, *points, *validation, method)
    return StackedUnlearner(model, *points, *validation, method, budget)
