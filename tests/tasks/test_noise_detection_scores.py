"""Detection against hand-made answers and against averaging over every order that ties allow."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_problems import a_problem, never, scored

from dvbench.scoring.contract import Valuation
from dvbench.scoring.detection import detect
from dvbench.tasks.noisy_feature_detection import noisy_feature_detection
from dvbench.tasks.noisy_label_detection import noisy_label_detection


def cases(low=-3, high=3, size=(2, 6)):
    """Integer values, most of them tied, with at least one corrupted and one clean player."""
    players = st.lists(st.tuples(st.integers(low, high), st.booleans()), min_size=size[0], max_size=size[1])
    both = players.filter(lambda drawn: len({corrupted for _, corrupted in drawn}) == 2)
    return both.map(lambda drawn: (np.array([v for v, _ in drawn], dtype=float), np.array([c for _, c in drawn])))


def inspections(values, corrupted):
    """Whether the first, second, ... player inspected is corrupted, for every order from low to high."""
    orders = permutations(range(len(values)))
    return np.array([corrupted[list(o)] for o in orders if all(np.diff(values[list(o)]) >= 0)])


def pairs_in_order(hits):
    """Share of pairs of a corrupted and a clean player in which the corrupted one comes first."""
    clean_after = np.cumsum(~hits[::-1])[::-1]
    return clean_after[hits].sum() / (hits.sum() * (~hits).sum())


def naive_kmeans_f1(values, corrupted):
    """F1 score of the lower of the two clusters with the least sum of squares."""

    def spread(cluster):
        return ((cluster - cluster.mean()) ** 2).sum()

    cuts = np.unique(values)[1:]
    low = values < min(cuts, key=lambda cut: spread(values[values < cut]) + spread(values[values >= cut]))
    return 2 * (low & corrupted).sum() / (low.sum() + corrupted.sum())


def test_perfect_values():
    corrupted = np.isin(np.arange(40), [3, 4, 17, 30, 31, 32, 38, 39])
    outcome = detect(np.where(corrupted, -1.0, 1.0), corrupted)
    assert outcome.metrics == {"auroc": 1.0, "auprc": 1.0, "recall_at_noise_rate": 1.0, "kmeans_f1": 1.0}
    assert outcome.curves["recall"] == outcome.curves["optimal"]
    assert outcome.curves["optimal"] == pytest.approx([min(i / 4, 1) for i in range(21)])


def test_values_the_wrong_way_round():
    corrupted = np.arange(40) < 8
    outcome = detect(np.where(corrupted, 1.0, -1.0), corrupted)
    assert outcome.metrics["auroc"] == 0
    assert outcome.metrics["recall_at_noise_rate"] == 0
    assert outcome.metrics["kmeans_f1"] == 0
    assert outcome.curves["recall"] == pytest.approx([max(i / 4 - 4, 0) for i in range(21)])


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e9])
def test_constant_values_are_chance(constant):
    outcome = detect(np.full(40, constant), np.arange(40) < 8)
    assert outcome.metrics == {"auroc": 0.5, "auprc": 0.2, "recall_at_noise_rate": 0.2, "kmeans_f1": 0.0}
    assert outcome.curves["recall"] == outcome.curves["random"] == pytest.approx(np.arange(21) / 20)


def test_constant_values_are_chance_where_steps_are_no_whole_players():
    outcome = detect(np.zeros(7), np.arange(7) < 2)
    assert outcome.curves["recall"] == pytest.approx(outcome.curves["random"], abs=1e-6)


def test_a_small_case_by_hand():
    values = np.array([4.0, 1, 2, 3, 5, 9, 8, 10, 11, 12])
    outcome = detect(values, np.isin(values, [1, 3, 8]))
    assert outcome.metrics["auroc"] == pytest.approx((7 + 6 + 4) / 21)
    assert outcome.metrics["auprc"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)
    assert outcome.metrics["recall_at_noise_rate"] == pytest.approx(2 / 3)
    assert outcome.metrics["kmeans_f1"] == pytest.approx(2 * 2 / (2 * 2 + 3 + 1))  # 1 to 5 are the lower cluster
    assert outcome.curves["recall"][::2] == pytest.approx([0, *np.repeat([1, 2, 3], [2, 3, 5]) / 3], abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_metrics_are_expectations_over_the_order_of_ties(case):
    values, corrupted = case
    hits = inspections(values, corrupted)
    outcome = detect(values, corrupted)
    total = corrupted.sum()
    assert outcome.metrics["auroc"] == pytest.approx(np.mean([pairs_in_order(order) for order in hits]))
    assert outcome.metrics["recall_at_noise_rate"] == pytest.approx(hits[:, :total].sum(axis=1).mean() / total)
    actual = np.append(0, hits.mean(axis=0).cumsum()) / total
    for fraction, recall in zip(outcome.curves["fraction"], outcome.curves["recall"], strict=True):
        below, above = int(np.floor(fraction * len(values))), int(np.ceil(fraction * len(values)))
        assert actual[below] - 1e-6 <= recall <= actual[above] + 1e-6


@settings(max_examples=60, deadline=None)
@given(cases(size=(2, 30)))
def test_auprc_takes_tied_players_together(case):
    values, corrupted = case
    precisions = [corrupted[values <= value].mean() for value in values[corrupted]]
    assert detect(values, corrupted).metrics["auprc"] == pytest.approx(np.mean(precisions))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
def test_kmeans_f1_is_that_of_the_best_two_clusters(seed, n):
    rng = np.random.default_rng(seed)
    values, corrupted = rng.normal(size=n).repeat(2), rng.permutation(np.arange(2 * n) < n)
    assert detect(values, corrupted).metrics["kmeans_f1"] == pytest.approx(naive_kmeans_f1(values, corrupted))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2.0**-30, 0.25, 8.0]), st.integers(-4096, 4096))
def test_scale_and_origin_of_values_do_not_matter(seed, scale, shift):
    rng = np.random.default_rng(seed)
    # Integers times powers of two, so that rounding neither makes nor breaks a tie.
    values, corrupted = rng.integers(-1000, 1000, 30).astype(float).repeat(2), rng.permutation(np.arange(60) < 12)
    outcome, changed = detect(values, corrupted), detect(scale * values + shift, corrupted)
    assert changed.metrics == pytest.approx(outcome.metrics)
    assert changed.curves == outcome.curves


def test_tiny_values_are_clustered_like_others():
    values, corrupted = np.array([1.0, 2, 3, 1, 5]), np.array([True, False, False, True, False])
    assert detect(values * 2.0**-600, corrupted).metrics == detect(values, corrupted).metrics


@settings(max_examples=60, deadline=None)
@given(cases(-100, 100, (2, 50)), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(case, random):
    values, corrupted = case
    order = np.array(random.sample(range(len(values)), len(values)))
    assert detect(values[order], corrupted[order]) == detect(values, corrupted)


@pytest.mark.parametrize("n", [7, 20, 23, 1000])
def test_curves_run_from_nothing_to_everything(n):
    rng = np.random.default_rng(n)
    curves = detect(rng.normal(size=n), np.arange(n) < 2).curves
    assert curves["fraction"] == pytest.approx(np.arange(21) / 20)
    for name in ("recall", "optimal", "random"):
        assert (curves[name][0], curves[name][-1]) == (0.0, 1.0)
        assert all(np.diff(curves[name]) >= 0)
    assert all(np.array(curves["recall"]) <= np.array(curves["optimal"]) + 1e-6)


@pytest.mark.parametrize("task", [noisy_label_detection, noisy_feature_detection])
def test_tasks_compare_values_with_the_noise_of_the_problem(task):
    problem = a_problem(30, corrupted=np.arange(30) % 3 == 1)
    values = np.random.default_rng(0).normal(size=30)
    assert scored(task, problem, Valuation(values), never) == detect(values, problem.corrupted)
