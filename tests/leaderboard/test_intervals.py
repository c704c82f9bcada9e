"""Intervals of means: Student's, inside the range of the metric, and about as often right as they say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_up import a_cell, a_result, a_score, scores_of
from scipy.stats import spearmanr

from dvbench.ranges import UNBOUNDED, bounds
from dvbench.registry import entries
from dvbench.results import Dataset, Plan, Store
from leaderboard import statistics
from leaderboard.intervals import interval, intervals, metric_range

# t(0.975) with one and with two degrees of freedom.
T1, T2 = 12.7062047, 4.3026527
CORRELATION, SHARE = (-1.0, 1.0), (0.0, 1.0)


@pytest.mark.parametrize(
    ("numbers", "half"), [([0.6, 0.8], T1 * 0.1), ([1.0, 2.0, 3.0], T2 / math.sqrt(3)), ([5.0, 1.0], T1 * 2.0)]
)
def test_an_interval_is_students(numbers, half):
    mean = sum(numbers) / len(numbers)
    assert interval(numbers) == pytest.approx((mean - half, mean + half), rel=1e-6)


@pytest.mark.parametrize("numbers", [[], [0.3], [0.9, 0.9], [0.1 + 0.2, 0.3, 0.3]])
def test_one_number_and_equal_numbers_have_none(numbers):
    assert np.isnan(interval(numbers)).all()


def test_an_interval_is_cut_to_the_range():
    low, high = interval([0.9, 0.95, 1.0], SHARE)
    assert high == 1.0
    assert low == pytest.approx(interval([0.9, 0.95, 1.0])[0])
    assert interval([0.2, 0.9], CORRELATION) == (-1.0, 1.0)
    assert interval([3.0, 1.0], (0.0, math.inf)) == pytest.approx((0.0, 2.0 + T1))


def test_a_claimed_score_outside_of_the_range_is_inside_of_its_interval():
    low, high = interval([5.0, 5.2], SHARE)
    assert low < 5.1 <= high


def test_many_intervals_are_those_of_each():
    samples = [[0.2, 0.4, 0.9], [0.5], [0.7, 0.7], [-2.0, 4.0]]
    frame = pd.DataFrame({"mean": map(np.mean, samples), "n": map(len, samples)})
    frame["deviation"] = [np.std(sample, ddof=1) if len(sample) > 1 else np.nan for sample in samples]
    limits = [SHARE, SHARE, SHARE, UNBOUNDED]
    actual = intervals(frame["mean"], frame["deviation"], frame["n"], limits)
    expected = [interval(sample, limit) for sample, limit in zip(samples, limits, strict=True)]
    np.testing.assert_allclose(actual.to_numpy(), expected, rtol=1e-12)


def auroc(rng, size):
    return rng.beta(0.9 * 30, 0.1 * 30, size)


def mean_utility_difference(rng, size):
    return rng.normal(0.2, 0.1, size)


def spearman(rng, size):
    """Correlations of ten players with a noisy copy of them."""
    values = rng.normal(size=(*size, 10))
    noisy = values + 1.5 * rng.normal(size=values.shape)
    centred = [each.argsort(-1).argsort(-1) - 4.5 for each in (values, noisy)]
    return (centred[0] * centred[1]).sum(-1) / (centred[0] ** 2).sum(-1)


def test_the_made_up_correlations_of_this_test_are_spearmans():
    rng = np.random.default_rng(0)
    values = rng.normal(size=10)
    noisy = values + 1.5 * rng.normal(size=10)
    assert spearman(np.random.default_rng(0), ()) == pytest.approx(spearmanr(values, noisy).statistic)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize(
    ("draw", "limits"), [(auroc, SHARE), (spearman, CORRELATION), (mean_utility_difference, CORRELATION)]
)
def test_intervals_hold_the_mean_about_as_often_as_they_say(draw, limits, n):
    """A percentile bootstrap does so in 50% for two seeds, in 75% for three and in 83% for five."""
    rng = np.random.default_rng(n)
    truth = draw(rng, (400_000,)).mean()
    ends = np.array([interval(sample, limits) for sample in draw(rng, (3000, n))])
    shown = ~np.isnan(ends[:, 0])
    assert shown.mean() > 0.95
    assert (ends[shown] >= limits[0]).all()
    assert (ends[shown] <= limits[1]).all()
    covered = ((ends[shown, 0] <= truth) & (truth <= ends[shown, 1])).mean()
    assert 0.91 < covered < 0.97


@pytest.mark.parametrize(
    ("task", "metric", "kind", "expected"),
    [
        ("noisy_label_detection", "auroc", "classification", SHARE),
        ("rank_stability", "spearman", "regression", CORRELATION),
        ("point_removal", "gap", "classification", CORRELATION),
        ("point_removal", "gap", "regression", UNBOUNDED),
        ("point_removal", "area_high", "classification", SHARE),
        ("point_removal", "area_high", "regression", (-math.inf, 0.0)),
        ("point_addition", "early_area_low", "language", (-math.inf, -1.0)),
        ("retrained_agreement", "gap", "classification", SHARE),
        ("retrained_agreement", "gap", "language", (0.0, math.inf)),
        ("output_divergence", "lkd", "language", (0.0, math.inf)),
        ("knowledge_retention", "kr_forget", "classification", UNBOUNDED),
        ("point_removal", "gap", "", UNBOUNDED),
        ("selection_accuracy", "accuracy_0.05", "classification", SHARE),
        ("selection_accuracy", "accuracy", "classification", UNBOUNDED),
        ("rank_stability", "other", "classification", UNBOUNDED),
        ("not_installed", "auroc", "classification", UNBOUNDED),
    ],
)
def test_ranges_are_those_that_tasks_state(task, metric, kind, expected):
    assert metric_range(task, metric, kind) == expected


@pytest.mark.parametrize("stated", ["odd", 3, (1, 2, 3), None])
def test_a_range_that_is_none_is_no_limit(stated):
    assert bounds({"m": stated}, "m", "classification") == UNBOUNDED


def test_summaries_are_cut_to_the_range_of_the_task(tmp_path):
    store = Store(tmp_path)
    cells = [a_cell("p", "A", seed, ("noisy_label_detection",)) for seed in range(3)]
    for cell, value in zip(cells, (0.7, 0.95, 0.99), strict=True):
        store.write(a_result(cell, {"noisy_label_detection": a_score(value, "auroc")}), {"values": np.zeros(20)})
    store.write_plan(Plan(suite="small", suite_version=1, description="", cells=tuple(cells)))
    (row,) = statistics.summary(scores_of(store).scores).to_dict("records")
    assert row["high"] == 1.0
    assert row["low"] == pytest.approx(0.88 - T2 * np.std([0.7, 0.95, 0.99], ddof=1) / math.sqrt(3))


def test_the_kind_of_a_problem_is_that_of_most_results_even_if_a_seed_is_missing(tmp_path):
    store, tasks = Store(tmp_path), ("point_removal",)
    cells = [a_cell("p", name, seed, tasks) for name in "AB" for seed in range(3)]
    data = Dataset(revision="0" * 64, kind="classification", train=20, validation=10, test=10)
    for cell in cells[1:]:
        claimed = data.model_copy(update={"kind": "regression"}) if cell.key.evaluator == "B" else data
        result = a_result(cell, {"point_removal": a_score(0.3 * cell.key.seed, "gap")}, dataset=claimed)
        store.write(result, {"values": np.zeros(20)})
    store.write(a_result(a_cell("p", "C", 0, tasks), {"point_removal": a_score(0.1, "gap")}), {"values": np.zeros(20)})
    more = [a_cell("p", "C", seed, tasks) for seed in range(3)]
    for cell in more:
        store.write(a_result(cell, {"point_removal": a_score(0.1, "gap")}), {"values": np.zeros(20)})
    store.write_plan(Plan(suite="small", suite_version=1, description="", cells=(*cells, *more)))
    actual = scores_of(store)
    assert set(actual.cells["problem_kind"]) == {"classification"}
    assert (actual.scores["lowest"] == -1.0).all()
    assert (actual.scores["highest"] == 1.0).all()


def test_every_headline_has_a_range():
    """So that no interval of a headline metric that has a range exceeds it; KR, a ratio, has none above."""
    for name, entry in entries("tasks").items():
        assert entry.definition.metadata["headline"] in entry.definition.metadata["ranges"], name
