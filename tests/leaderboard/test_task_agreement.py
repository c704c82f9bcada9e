"""Agreement of tasks over evaluators, on scores whose agreement is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from leaderboard.exhibits.task_agreement import correlations, mean_ranks

EVALUATORS = [f"e{number}" for number in range(12)]


def scores(**tasks):
    """Scores of one problem and two seeds: a number for each evaluator, or None where it failed."""
    rows = [
        {
            "problem": "p", "task": task, "evaluator": evaluator, "seed": seed, "value": value,
            "higher_is_better": task != "gap",
        }
        for task, values in tasks.items()
        for seed in (0, 1)
        for evaluator, value in zip(EVALUATORS, values, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"value": float})


def test_tasks_that_agree_and_one_where_lower_is_better():
    numbers = np.random.default_rng(0).permutation(12).astype(float)
    table = correlations(mean_ranks(scores(auroc=numbers, area=np.exp(numbers), gap=numbers)))
    found = {(row["task"], row["other_task"]): row for row in table.to_dict("records")}
    assert found["auroc", "area"]["spearman"] == pytest.approx(1)
    assert found["auroc", "gap"]["spearman"] == pytest.approx(-1)
    assert found["auroc", "area"]["spearman_ci_low"] == pytest.approx(1)
    assert table["spearman"].is_monotonic_decreasing
    assert set(table["evaluators"]) == {12}


def test_a_correlation_and_its_interval():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(40):
        first = rng.normal(size=12)
        (row,) = correlations(pd.DataFrame({"a": first, "b": rng.normal(size=12)})).to_dict("records")
        assert row["spearman_ci_low"] < row["spearman"] < row["spearman_ci_high"]
        covered.append(row["spearman_ci_low"] <= 0 <= row["spearman_ci_high"])
    assert np.mean(covered) > 0.8  # independent tasks
    second = first + rng.normal(size=12)
    (row,) = correlations(pd.DataFrame({"a": first, "b": second})).to_dict("records")
    assert row["spearman"] == pytest.approx(spearmanr(first, second).statistic)


def test_ranks_are_means_and_a_failure_is_the_worst():
    numbers = np.arange(12.0)
    numbers[11] = np.nan
    ranks = mean_ranks(scores(auroc=numbers, gap=np.arange(12.0)))
    assert ranks.loc["e11", "auroc"] == 12
    assert ranks.loc["e10", "auroc"] == 1
    assert ranks.loc["e0", "gap"] == 1


def test_tasks_without_scores_and_constant_ones_have_no_correlation():
    ranks = mean_ranks(scores(auroc=np.arange(12.0), area=np.full(12, np.nan), gap=np.zeros(12)))
    assert list(ranks.columns) == ["auroc", "gap"]
    assert correlations(ranks).empty
