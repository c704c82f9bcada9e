"""Writes the table of published gains that `dvbench advise` reads, from a results folder.

Run ``python tests/benchmarks/advice_tables.py results`` after results were published. Data sets are read for their
numbers of features and classes, from the mirror if DVBENCH_MIRROR names one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dvbench.problems.build import load_source
from dvbench.results import Store
from dvbench.results.published_gains import write_gains
from leaderboard.published_gains import gains_of_results


def shapes(results: Path, names: set[str]) -> dict[str, tuple[int, int]]:
    """Numbers of features and classes of the data sets of published suites, by their names in the table."""
    store = Store(results)
    plans = (store.plan(suite) for suite in store.suites())
    settings = {str(cell.problem.dataset): cell.problem.dataset for plan in plans if plan for cell in plan.cells}
    known = {}
    for name in sorted(names & set(settings)):
        source = load_source(settings[name])
        features = source.components or int(np.prod(source.take(np.arange(1)).shape[1:]))
        known[name] = features, len(source.classes)
    return known


if __name__ == "__main__":
    results = Path(sys.argv[1])
    names = {row.dataset for row in gains_of_results(results, {})}
    write_gains(gains_of_results(results, shapes(results, names)))
