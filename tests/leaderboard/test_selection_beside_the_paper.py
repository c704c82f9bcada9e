"""Published accuracies of selection strategies, and ours beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dvbench.registry import entries
from dvbench.results import Plan, Score, Store
from dvbench.settings import DatasetSettings, Imbalance, Noise
from leaderboard.exhibit import suite_results
from leaderboard.exhibits.selection_published import published_tables, selection_published
from tests.leaderboard.made_up import a_cell, a_result, scores_of

TASK = "selection_accuracy"
NOISY = Noise(kind="labels", rate=0.3, draw="any", validation=True)
FEATURES = DatasetSettings(name="cifar10", params={"encoder": "some/encoder"})
PROBLEMS = {
    "plain": {"dataset": FEATURES},
    "wrong": {"dataset": FEATURES, "noise": NOISY},
    "other-rate": {"dataset": FEATURES, "noise": NOISY.model_copy(update={"rate": 0.2})},
    "clean-validation": {"dataset": FEATURES, "noise": NOISY.model_copy(update={"validation": False})},
    "rare": {"dataset": FEATURES, "imbalance": Imbalance(classes=0.3, keep=0.1)},
    "digits": {},
}


def _table(folder: Path, *problems: str) -> pd.DataFrame | None:
    """The exhibit of made-up accuracies .5 and .6 of two seeds."""
    store, cells = Store(folder), []
    for label in problems:
        for evaluator in ("full", "chg_shapley", "el2n"):
            for seed in (0, 1):
                cell = a_cell(label, evaluator, seed, (TASK,))
                cell = cell.model_copy(update={"problem": cell.problem.model_copy(update=PROBLEMS[label])})
                metrics = {"area": 0.5} | {f"accuracy_{f:g}": 0.5 + seed / 10 for f in published_tables()[0]}
                score = Score(version=1, headline="area", higher_is_better=True, metrics=metrics)
                store.write(a_result(cell, {TASK: score}), {"values": np.zeros(20)})
                cells.append(cell)
    store.write_plan(Plan(suite="small", suite_version=1, description="Small.", cells=tuple(cells)))
    made = selection_published(suite_results(store, scores_of(store)), [TASK])
    return made[0].table if made else None


def _rows_of(table: pd.DataFrame, problem: str) -> pd.DataFrame:
    return table[table["problem"] == problem].set_index("evaluator")


def test_both_versions_stand_beside_problems_with_the_papers_labels(tmp_path: Path) -> None:
    table = _table(tmp_path, *PROBLEMS)
    assert table is not None
    assert list(dict.fromkeys(table["problem"])) == [
        "cifar10, clean: earlier version of the paper, Table 2",
        "cifar10, clean: version 3 of the paper",
        "plain",
        "cifar10, noisy: earlier version of the paper, Table 3",
        "cifar10, noisy: version 3 of the paper",
        "wrong",
    ]
    ours = _rows_of(table, "wrong")
    assert list(ours.index) == ["full", "chg_shapley"]  # the paper has no EL2N
    assert list(ours["accuracy_0.3"]) == [pytest.approx(0.55)] * 2
    assert (ours["accuracy_0.3_ci_low"] < 0.55).all()
    assert (ours["accuracy_0.3_ci_high"] > 0.55).all()
    noisy = _rows_of(table, "cifar10, noisy: version 3 of the paper")
    assert noisy["accuracy_0.05"].idxmax() == "full"
    assert noisy["accuracy_0.1"].idxmax() == "gradient_shapley"  # better without the losses, under noise
    earlier = _rows_of(table, "cifar10, noisy: earlier version of the paper, Table 3")
    assert earlier.loc["chg_shapley", "accuracy_0.1"] == pytest.approx(0.7732)


def test_problems_that_the_paper_does_not_have_have_no_comparison(tmp_path: Path) -> None:
    assert _table(tmp_path, "digits", "rare") is None


def test_published_accuracies_are_of_known_strategies_and_grow_with_the_fraction() -> None:
    fractions, tables = published_tables()
    assert fractions == (0.05, 0.1, 0.3, 0.5, 0.7)
    for table in tables:
        assert {*table.accuracies} <= {*entries("selection")}
        for name, percents in table.accuracies.items():
            assert 0 < len(percents) <= len(fractions)
            assert all(0 < percent < 100 for percent in percents)
            if name in ("random", "adaptive_random"):
                assert percents == sorted(percents) or max(percents) - percents[-1] < 0.2
