"""Checks of parameters that are numbers, for constructors: a wrong one is refused before anything is computed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number, as an int.

    Raises
    ------
    ValueError
        If the value is not of an integer type (true and false are not), or is less than ``least``.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")
    return int(value)


def number(name: str, value: Any, *, above: float = -math.inf, below: float = math.inf) -> float:
    """Return a finite number, as a float.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : Any
    above, below : float
        Limits, which the number does not reach.

    Raises
    ------
    ValueError
        If the value is not of a type of real numbers (true and false are not), is NaN or infinite, or is outside of the
        limits.
    """
    is_real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (is_real and math.isfinite(value) and above < value < below):
        limits = [f" {word} {limit:g}" for word, limit in (("above", above), ("below", below)) if math.isfinite(limit)]
        raise ValueError(f"{name} is a finite number{' and'.join(limits)}, not {value!r}")
    return float(value)
