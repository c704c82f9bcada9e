"""Ceilings of agreement scores in tables, CSV and pages: shown where there are some, and nothing changes elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from made_up import a_cell, a_result, a_score, scores_of, tables_of

from dvbench.results import Plan, Store
from leaderboard import markdown
from leaderboard.build import build
from leaderboard.statistics import suite_statistics
from leaderboard.tables import csv_table

SCORES = {  # evaluator and seed: score and ceiling
    ("A", 0): (0.6, 0.8),
    ("A", 1): (0.2, 0.4),
    ("B", 0): (0.9, 0.8),
    ("B", 1): (0.5, None),
    ("C", 0): (0.7, None),
    ("C", 1): (None, None),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return written(tmp_path, SCORES)


def written(folder: Path, scores: dict) -> Store:
    store = Store(folder)
    cells = [a_cell("p", evaluator, seed, ("lds",)) for evaluator, seed in scores]
    for cell, (value, ceiling) in zip(cells, scores.values(), strict=True):
        score = a_score(value, "lds", error=None if value is not None else "no")
        store.write(a_result(cell, {"lds": score.model_copy(update={"ceiling": ceiling})}), {"values": [1.0] * 20})
    store.write_plan(Plan(suite="small", suite_version=1, description="-", cells=tuple(cells)))
    return store


def test_shares_are_quotients_of_means_over_the_seeds_with_a_ceiling(store: Store) -> None:
    summary = suite_statistics(scores_of(store)).summary.set_index("evaluator")
    assert summary["ceiling"].to_dict() == pytest.approx({"A": 0.6, "B": 0.8, "C": float("nan")}, nan_ok=True)
    assert summary["share"].to_dict() == pytest.approx({"A": 0.4 / 0.6, "B": 0.9 / 0.8, "C": float("nan")}, nan_ok=True)
    assert summary.loc["B", "mean"] == pytest.approx(0.7)


def test_a_low_ceiling_has_no_share(tmp_path: Path) -> None:
    summary = suite_statistics(scores_of(written(tmp_path, {("A", 0): (0.5, 0.05)}))).summary
    assert summary["ceiling"].tolist() == [0.05]
    assert summary["share"].isna().all()


def test_tables_state_ceiling_and_shares(store: Store) -> None:
    text = markdown.render(tables_of(store))
    assert "ceiling 0.70" in text  # the mean of 0.6 and 0.8
    assert "67%" in text
    assert "112%" in text
    assert "Ceiling: what values reach that are exact but for the randomness of training" in text
    frame = pd.read_csv(pd.io.common.StringIO(csv_table(suite_statistics(scores_of(store)))))
    assert list(frame.columns[-2:]) == ["ceiling", "share"]


def test_nothing_changes_without_ceilings(tmp_path: Path) -> None:
    store = written(tmp_path, {key: (value, None) for key, (value, _) in SCORES.items()})
    assert "eiling" not in markdown.render(tables_of(store))
    assert "eiling" not in csv_table(suite_statistics(scores_of(store)))


def test_pages_show_shares(store: Store, tmp_path: Path) -> None:
    build(store.root, tmp_path / "site")
    assert "67%" in (tmp_path / "site/small/evaluators/A.html").read_text()
    pages = (tmp_path / "site/small/datasets/p.html").read_text()
    assert "ceiling 0.70" in pages
    assert "Ceiling: what values reach" in pages
    scores = json.loads((tmp_path / "site/small/scores.json").read_text())["scores"]
    assert {(row["evaluator"], row["seed"]): row["ceiling"] for row in scores}["A", 0] == 0.8


def test_exact_tables_among_results_are_no_suite(store: Store, tmp_path: Path) -> None:
    (store.root / "exact").mkdir()
    (store.root / "exact" / "manifest.json").write_text("{}")
    assert store.suites() == ["small"]
    build(store.root, tmp_path / "site")
    assert not (tmp_path / "site/exact").exists()
