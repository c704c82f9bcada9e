"""The unlearning method of an evaluator, from the settings that its constructor takes."""

from __future__ import annotations

from typing import Any

from dvbench.registry import find
from dvbench.unlearning.contract import Method


def unlearning_method(method: str | Method, lambda1: float, lambda2: float, **settings: Any) -> Method:
    """Make a method of its name, or take one that is made.

    Parameters
    ----------
    method : str or Method
        A registered name, or a method with settings of its own, to which no others are applied.
    lambda1, lambda2 : float
        For ``gradient_ascent``.
    **settings
        For every method that is given by name, see `dvbench.unlearning.contract.Method`.

    Raises
    ------
    UserError
        If there is no method of that name.
    ValueError
        If a setting is out of range.
    """
    if isinstance(method, Method):
        return method
    entry = find("unlearning", method)
    if entry.name == "gradient_ascent":
        settings |= {"lambda1": lambda1, "lambda2": lambda2}
    made: Method = entry.load()(**settings)
    return made
