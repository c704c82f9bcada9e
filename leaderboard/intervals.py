"""Intervals of means over seeds: one kind for all tables, figures and pages.

It is the 95% Student-t interval of the mean, cut to the range of the metric. With two to five seeds it holds the true
mean about as often as it says, while a percentile bootstrap, which cannot reach beyond the lowest and the highest seed,
does so half of the time for two seeds and three quarters of the time for three. The interval is computed on the scale
of the metric, because transformations for bounded metrics, such as the logit, have no value for a score of exactly 0 or
1, and their intervals are those of another mean than the one that is shown. Cutting loses nothing: a mean cannot be
outside of the range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

from dvbench.errors import UserError
from dvbench.ranges import UNBOUNDED, Bounds, bounds
from dvbench.registry import find

CONFIDENCE = 0.95
EQUAL = 1e-12  # relative deviation below which numbers are equal up to rounding
IN_WORDS = "a 95% Student-t interval over the seeds, cut to the range of the metric (none for one seed or equal scores)"
IN_TABLE = f"Means over seeds, each with {IN_WORDS}."


@cache
def metric_range(task: str, metric: str, kind: str) -> Bounds:
    """Return the range of a metric as its task states it; infinite for a task that is not installed."""
    try:
        ranges = find("tasks", task).definition.metadata.get("ranges", {})
    except UserError:
        return UNBOUNDED
    return bounds(ranges, metric, kind) if isinstance(ranges, dict) else UNBOUNDED


def interval(numbers: Sequence[float], limits: Bounds = UNBOUNDED) -> tuple[float, float]:
    """Compute the interval of the mean of some numbers, one per seed; see `intervals`."""
    n = len(numbers)
    if n < 2:
        return math.nan, math.nan
    array = np.asarray(numbers, dtype=float)
    return _cut(float(array.mean()), float(array.std(ddof=1)), n, *limits)


def intervals(means: pd.Series, deviations: pd.Series, n: pd.Series, limits: Sequence[Bounds]) -> pd.DataFrame:
    """Compute the intervals of many means.

    Parameters
    ----------
    means, deviations, n : pandas.Series
        The mean, the sample standard deviation and the number of the seeds' scores, which are assumed to be independent
        and normally distributed.
    limits : sequence of (float, float)
        The range of each metric.

    Returns
    -------
    pandas.DataFrame
        ``low`` and ``high``: ``mean -+ t(0.975, n - 1) * deviation / sqrt(n)``, cut to the range. NaN if there are
        fewer than two numbers, or all are equal: their spread is not known then.
    """
    rows = zip(means, deviations, n, limits, strict=True)
    ends = [_cut(mean, deviation, int(count), low, high) for mean, deviation, count, (low, high) in rows]
    return pd.DataFrame(ends, columns=["low", "high"], index=means.index, dtype=float)


def _cut(mean: float, deviation: float, n: int, lowest: float, highest: float) -> tuple[float, float]:
    if n < 2 or not deviation > EQUAL * abs(mean):
        return math.nan, math.nan
    half = quantile(n) * deviation / math.sqrt(n)
    # A claimed score can be outside of the range; its interval is not empty.
    return max(mean - half, min(lowest, mean)), min(mean + half, max(highest, mean))


@cache
def quantile(n: int) -> float:
    """Return the quantile of Student's t that an interval over n numbers reaches to."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
