"""No published number is outside of the range that its task states, which intervals are cut to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dvbench.results import Store
from leaderboard.index import open_index
from leaderboard.intervals import metric_range
from leaderboard.suite_scores import CELL, suite_scores

RESULTS = Store(Path(__file__).parents[2] / "results")


@pytest.mark.parametrize("suite", RESULTS.suites())
def test_published_metrics_are_inside_of_their_ranges(suite):
    with open_index(RESULTS, suite) as index:
        actual = suite_scores(index)
    rows = actual.scores.merge(actual.cells[[*CELL, "problem_kind"]], on=CELL)
    rows = rows[rows["status"] == "ok"]
    assert set(rows["problem_kind"]) <= {"classification", "regression", "language"}
    limited = 0
    for task, kind, encoded in zip(rows["task"], rows["problem_kind"], rows["metrics"], strict=True):
        for metric, value in json.loads(encoded).items():
            low, high = metric_range(task, metric, kind)
            limited += (low, high) != (float("-inf"), float("inf"))
            assert low - 1e-9 <= value <= high + 1e-9, (task, metric)
    assert limited > 0
