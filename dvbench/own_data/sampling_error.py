"""Says how large the error of sampled values is, and what to do if it is large."""

from __future__ import annotations

import math

import numpy as np

from dvbench.registry import find
from dvbench.settings import EvaluatorSettings

LARGE = 0.1  # of the range of the values


def errors_of_means(valuations: np.ndarray, errors: np.ndarray) -> np.ndarray | None:
    """Standard errors by sampling of the means over folds.

    Parameters
    ----------
    valuations : numpy.ndarray of shape (folds, n)
        NaN where a player was not valued.
    errors : numpy.ndarray of shape (folds, n)
        Standard errors of the valuations, which are independent.

    Returns
    -------
    numpy.ndarray of shape (n,), or None
        None if not all are known.
    """
    valued = np.isfinite(valuations)
    if not np.isfinite(errors[valued]).all():
        return None
    means: np.ndarray = np.sqrt(np.square(np.where(valued, errors, 0.0)).sum(axis=0)) / valued.sum(axis=0)
    return means


def sampling_remarks(
    settings: EvaluatorSettings, values: np.ndarray, errors: np.ndarray | None, grouped: bool
) -> list[str]:
    """Say what part of the range of the values their largest standard error is; of groups, what part of a mean payout.

    That is the mean of the values above zero. For groups a large error is a warning that says how many permutations are
    enough.

    Parameters
    ----------
    settings : EvaluatorSettings
    values : numpy.ndarray of shape (n,)
    errors : numpy.ndarray of shape (n,), optional
        None if they are not known.
    grouped : bool
        Whether the players are groups.
    """
    paid = grouped and bool((values > 0).any())
    whole = float(values[values > 0].mean()) if paid else float(np.ptp(values))
    if errors is None or not errors.any() or not whole:
        return []
    largest = float(errors.max())
    of = "the mean value above zero" if paid else "their range"
    said = f"values are sampled: the largest standard error is {largest:.2g}, {largest / whole:.0%} of {of}"
    if not grouped or largest <= LARGE * whole:
        return [said]
    return [f"{said}. Differences of this size are chance: {_what_to_do(settings, largest / whole)}"]


def _what_to_do(settings: EvaluatorSettings, part: float) -> str:
    known = {parameter.name: parameter for parameter in find("evaluators", settings.name).definition.parameters or ()}
    default = known["permutations"].default if "permutations" in known else None
    drawn = settings.params.get("permutations", default)
    if "sampling" in known:
        drawn = settings.params.get("sampling", {}).get("permutations")
    try:
        needed = _rounded(math.ceil(int(str(drawn)) * (part / LARGE) ** 2))
    except ValueError:
        return "value with several seeds, and take the means"
    more = f"'sampling={{permutations={needed}}}'" if "sampling" in known else f"permutations={needed}"
    return f"with --parameter {more} it would be about {LARGE:.0%}"


def _rounded(number: int) -> int:
    """Round up to two digits."""
    unit = int(10 ** max(len(str(number)) - 2, 0))
    return -(-number // unit) * unit
