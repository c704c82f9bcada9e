"""Writes the table of published gains that `dvbench advise` reads, from a results folder.

Run ``python tests/benchmarks/advice_tables.py results`` after results were published. Tables of OpenML are read once
for their numbers of features and classes, from the mirror if DVBENCH_MIRROR names one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dvbench.problems.build import load_source
from dvbench.results.published_gains import published_gains, write_gains
from leaderboard.published_gains import gains_of_results


def shapes(datasets: set[str]) -> dict[str, tuple[int, int]]:
    """Numbers of features and classes of the tables of OpenML, and of those that were known before."""
    known = {row.dataset: (row.features, row.classes) for row in published_gains()}
    for name in datasets:
        if name.startswith("openml:") and name not in known:
            source = load_source(name)
            known[name] = int(np.prod(source.take(np.arange(1)).shape[1:])), len(source.classes)
    return known


if __name__ == "__main__":
    results = Path(sys.argv[1])
    names = {row.dataset for row in gains_of_results(results, {})}
    write_gains(gains_of_results(results, shapes(names)))
