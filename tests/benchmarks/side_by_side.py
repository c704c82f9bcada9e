"""Timing of two ways to the same result, in turns, so that both see the same moods of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compare(
    benchmark, slow: Callable[[], object], fast: Callable[[], object], *, rounds: int = 3, **units: int
) -> float:
    """Time both in turns after one run of each to warm up; the best of the rounds counts.

    ``slow_units`` and ``fast_units`` say how many results a call gives; times are per result. The table has the ratio
    and both times as extra information; pytest-benchmark's own number is one more call of ``fast``.
    """
    slow()
    fast()
    slow_units, fast_units = units.pop("slow_units", 1), units.pop("fast_units", 1)
    times = [(seconds(slow) / slow_units, seconds(fast) / fast_units) for _ in range(rounds)]
    best_slow, best_fast = (min(column) for column in zip(*times, strict=True))
    benchmark.extra_info.update(
        slow_ms=round(1e3 * best_slow, 3),
        fast_ms=round(1e3 * best_fast, 3),
        ratio=round(best_slow / best_fast, 2),
        **units,
    )
    benchmark.pedantic(fast, rounds=1)
    return best_slow / best_fast
