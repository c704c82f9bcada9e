"""Makes unlearning methods from their settings, and the engine that carries a method out on a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.registry import make
from dvbench.training.language_model import LanguageModel
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning.stacked_engine import StackedUnlearner

MethodSetting = str | Mapping[str, Any] | UnlearningMethod
"""How an evaluator's ``method`` parameter may be given; see `as_method`."""


def make_method(name: str, /, **settings: Any) -> UnlearningMethod:
    """Make an unlearning method from its name and the parameters of its constructor.

    Parameters
    ----------
    name : str
        A registered name, or ``module:Class``.
    **settings
        Parameters of its constructor.

    Raises
    ------
    UserError
        If there is no method of that name, or it does not take these parameters.
    """
    method: UnlearningMethod = make("unlearning", name, UnlearningMethod, settings)
    return method


def as_method(method: MethodSetting) -> UnlearningMethod:
    """Make the unlearning method that an evaluator's ``method`` parameter describes.

    Parameters
    ----------
    method : str, mapping or UnlearningMethod
        A name, for a method with its default parameters; a mapping of ``name`` and parameters, such as
        ``{"name": "gradient_ascent", "lr": 1e-4, "steps": 20}``; or a method, which is returned as it is.

    Raises
    ------
    UserError
        If there is no method of that name, or it does not take these parameters.
    """
    if isinstance(method, UnlearningMethod):
        return method
    settings = {"name": method} if isinstance(method, str) else dict(method) if isinstance(method, Mapping) else {}
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise UserError(
            "method is the name of an unlearning method, or a mapping of its name and parameters such as "
            f'{{ name = "gradient_ascent", lr = 1e-4 }}, not {method!r}'
        )
    return make_method(name, **settings)


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
        Bytes that the models that are unlearned together may take. Language models ignore it: they are unlearned one at
        a time.

    Raises
    ------
    ValueError
        If the method does not work with the model.
    """
    if isinstance(model, LanguageModel):
        return LanguageModelUnlearner(model, *points, *validation, method)
    return StackedUnlearner(model, *points, *validation, method, budget)
