"""Ranges of metrics: the lowest and the highest number that a metric can be.

A task states the ranges of its metrics (see `dvbench.scoring.contract`), and the leaderboard cuts intervals to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from dvbench.settings import Kind

# A pair of numbers, where None is no limit; or what the metric is made of, because the range of a utility depends on
# the kind of problem: a utility, a difference of two utilities, or the absolute value of such a difference.
Range = tuple[float | None, float | None] | Literal["utility", "difference", "distance"]
Bounds = tuple[float, float]

UNBOUNDED: Bounds = (-math.inf, math.inf)
UTILITIES: dict[Kind, Bounds] = {
    "classification": (0.0, 1.0),  # accuracy
    "regression": (-math.inf, 0.0),  # negative mean squared error
    "language": (-math.inf, -1.0),  # negative perplexity
}


def bounds(ranges: Mapping[str, Any], metric: str, kind: str) -> Bounds:
    """Return the lowest and the highest number that a metric can be.

    Parameters
    ----------
    ranges : mapping of str to Range
        Ranges of the metrics of a task; ``accuracy_*`` stands for ``accuracy_0.1`` and all others of this form.
    metric : str
    kind : str
        Kind of problem.

    Returns
    -------
    low, high : float
        Infinite where there is no limit, and for a metric or a kind of problem that is not known.
    """
    family = metric.rpartition("_")[0] + "_*"  # such as the accuracies at all fractions, "accuracy_*"
    stated = ranges.get(metric, ranges.get(family))
    low, high = {str(name): utility for name, utility in UTILITIES.items()}.get(kind, UNBOUNDED)
    match stated:
        case "utility":
            return low, high
        case "difference":
            return low - high, high - low
        case "distance":
            return 0.0, high - low
        case (lowest, highest):
            return -math.inf if lowest is None else float(lowest), math.inf if highest is None else float(highest)
        case _:
            return UNBOUNDED
