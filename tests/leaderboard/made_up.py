"""Builders of made-up cells, scores and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dvbench.results import Cell, CellKey, Cost, Dataset, Environment, Result, Score, Store
from dvbench.settings import EvaluatorSettings, ModelSettings, Noise, ProblemSettings, Sizes, Training
from leaderboard.index import open_index
from leaderboard.statistics import suite_statistics
from leaderboard.suite_scores import SuiteScores, suite_scores
from leaderboard.tables import SuiteTables, suite_tables

HERE = Environment(platform="Linux", processor="cpu", cores=4, device="cpu", python="3.11", packages={})


def scores_of(store: Store, suite: str = "small") -> SuiteScores:
    with open_index(store, suite) as index:
        return suite_scores(index)


def tables_of(store: Store) -> SuiteTables:
    scores = scores_of(store)
    return suite_tables(scores, suite_statistics(scores))


def a_cell(
    problem: str, evaluator: str, seed: int, tasks: tuple[str, ...], suite: str = "small", version: int = 1
) -> Cell:
    return Cell(
        key=CellKey(suite=suite, problem=problem, evaluator=evaluator, seed=seed),
        suite_version=version,
        problem=ProblemSettings(
            dataset=problem,
            sizes=Sizes(train=20, validation=10, test=10),
            noise=Noise(),
            model=ModelSettings(name="logistic_regression"),
            training=Training(),
        ),
        evaluator=EvaluatorSettings(name=evaluator),
        tasks=tasks,
    )


def a_score(
    value: float | None, headline: str = "f1", up: bool = True, error: str | None = None, version: int = 1
) -> Score:
    metrics = {} if value is None else {headline: value}
    return Score(version=version, headline=headline, higher_is_better=up, metrics=metrics, error=error)


def a_result(
    cell: Cell,
    scores: Mapping[str, Score] | None = None,
    error: str | None = None,
    seconds: float = 1.0,
    **changes: Any,
) -> Result:
    fields = {
        "dvbench_version": "0.1.0",
        "cell": cell,
        "status": "failed" if error else "ok",
        "error": error,
        "evaluator_object": "a:B",
        "evaluator_version": "1",
        "dataset": Dataset(revision="0" * 64, kind="classification", train=20, validation=10, test=10),
        "scores": dict(scores or {}),
        "cost": Cost(seconds=seconds, fits=3, unlearned=2, peak_memory=5_000_000),
        "environment": HERE,
    }
    return Result(**(fields | changes))
