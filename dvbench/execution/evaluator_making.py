"""Makes an evaluator from its settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from dvbench.errors import UserError, one_line
from dvbench.registry import find
from dvbench.settings import EvaluatorSettings


def make_evaluator(settings: EvaluatorSettings, seed: int) -> Any:
    """Make an evaluator.

    Parameters
    ----------
    settings : EvaluatorSettings
    seed : int
        Seed of its random state, if its constructor takes one.

    Raises
    ------
    UserError
        If there is no such evaluator, or its constructor refuses the parameters.
    """
    make = find("evaluators", settings.name).load()
    try:
        return make(**settings.params, **_random_state(make, seed))
    except (TypeError, ValueError) as error:
        raise UserError(f"cannot make {settings.name}: {one_line(error)}") from error


def _random_state(make: Callable[..., Any], seed: int) -> dict[str, np.random.RandomState]:
    """``random_state`` for constructors that take it; OpenDataVal does not require it of an evaluator."""
    parameters = inspect.signature(make).parameters
    takes = "random_state" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {"random_state": np.random.RandomState(seed)} if takes else {}
