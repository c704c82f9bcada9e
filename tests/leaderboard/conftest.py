"""Made-up results, written as real ones are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import a_cell, a_result, a_score

from dvbench.results import Plan, Score, Store

VALUES = {"values": np.zeros(20)}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Store]:
    """Write a plan and results to a store.

    ``table`` maps (problem, evaluator, seed) to ``{task: value}``, to ``{task: Score}``, to the error of a failed
    valuation, or to None where nothing is there. Tasks whose name starts with "loss" are better when lower.
    """

    def write(
        table: Mapping[tuple[str, str, int], Any], tasks: tuple[str, ...] = ("f",), suite: str = "small"
    ) -> Store:
        store = Store(tmp_path / "results")
        cells = {key: a_cell(*key, tasks, suite) for key in table}
        store.write_plan(Plan(suite=suite, suite_version=1, description="A small suite.", cells=tuple(cells.values())))
        for key, said in table.items():
            if isinstance(said, str):
                store.write(a_result(cells[key], error=said))
            elif said is not None:
                scores = {
                    task: value if isinstance(value, Score) else a_score(value, up=not task.startswith("loss"))
                    for task, value in said.items()
                }
                store.write(a_result(cells[key], scores, seconds=1.0 + key[2]), VALUES)
        return store

    return write
