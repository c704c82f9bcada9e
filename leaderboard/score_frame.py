"""Loads the scores and costs of a results folder as one table, for analysis in Python."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dvbench.errors import unknown
from dvbench.results import Store
from leaderboard.index import open_index
from leaderboard.plans import results_store, suite_names
from leaderboard.suite_scores import CELL, suite_scores

COLUMNS = [
    "suite", "problem", "dataset", "model", "noise", "players", "evaluator", "seed", "task", "metric", "value",
    "higher_is_better", "status", "error", "seconds", "fits", "unlearned", "peak_memory", "device", "evaluator_version",
    "mark",
]  # fmt: skip
OF_CELLS = [
    "dataset", "model", "noise", "players", "seconds", "fits", "unlearned", "peak_memory", "device", "object_version",
    "mark",
]  # fmt: skip


def score_frame(results: Path, suite: str | None = None) -> pd.DataFrame:
    """Load the scores of a suite, or of all suites; see `dvbench.load_results`.

    Raises
    ------
    UserError
        If there is no such folder or suite, or a file cannot be read.
    """
    store = results_store(results)
    known = suite_names(store)
    if suite is not None and suite not in known:
        raise unknown("suite with results", suite, known)
    frames = [_suite_frame(store, name) for name in ([suite] if suite is not None else known)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)


def _suite_frame(store: Store, suite: str) -> pd.DataFrame:
    with open_index(store, suite) as index:
        current = suite_scores(index)
    cells = current.cells[[*CELL, *OF_CELLS]].rename(columns={"object_version": "evaluator_version"})
    return current.scores.merge(cells, on=CELL, how="left").assign(suite=suite)[COLUMNS]
