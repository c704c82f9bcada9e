"""Point removal and addition with a model whose utility is known, so that curves can be computed by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from small_problems import Worths, a_problem, scored

from dvbench.scoring.contract import Valuation
from dvbench.scoring.player_orders import ascending, random_order
from dvbench.tasks.point_addition import point_addition
from dvbench.tasks.point_removal import point_removal

STEPS = np.arange(20)


def run(task, values, worth=None, **problem):
    worth = values if worth is None else worth
    return scored(task, a_problem(len(values), **problem), Valuation(np.asarray(values, dtype=float)), Worths(worth))


@pytest.fixture
def shuffled():
    """Twenty players worth 0 to 19, in no order."""
    return np.random.default_rng(0).permutation(20)


def test_removal_curves_and_areas_by_hand(shuffled):
    outcome = run(point_removal, shuffled)
    assert outcome.curves["fraction"] == pytest.approx(STEPS / 20)
    assert outcome.curves["remove_high"] == pytest.approx((20 - STEPS) * (19 - STEPS) / 2 / 20)
    assert outcome.curves["remove_low"] == pytest.approx((190 - STEPS * (STEPS - 1) / 2) / 20)
    assert outcome.metrics["area_high"] == pytest.approx(3.0)
    assert outcome.metrics["area_low"] == pytest.approx(6.5)
    assert outcome.metrics["gap"] == pytest.approx(3.5)
    assert outcome.metrics["weighted_drop_high"] == pytest.approx(13.775)
    assert outcome.metrics["weighted_drop_low"] == pytest.approx(4.275)


def test_addition_curves_and_early_areas_by_hand(shuffled):
    outcome = run(point_addition, shuffled)
    added = STEPS + 1
    assert outcome.curves["fraction"] == pytest.approx(added / 20)
    assert outcome.curves["add_high"] == pytest.approx(added * (39 - added) / 2 / 20)
    assert outcome.curves["add_low"] == pytest.approx(added * (added - 1) / 2 / 20)
    assert outcome.metrics["early_area_high"] == pytest.approx(4.4)
    assert outcome.metrics["early_area_low"] == pytest.approx(0.825)
    assert outcome.metrics["early_gap"] == pytest.approx(3.575)


def test_what_is_kept_is_compared_with_as_many_random_players(shuffled):
    outcome = run(point_addition, shuffled)
    best = np.array([37, 99, 145]) / 20  # of 2, 6 and 10 players
    chance = np.array([outcome.curves["random"][step] for step in (1, 5, 9)])
    assert [outcome.metrics[f"kept_{part}"] for part in (0.1, 0.3, 0.5)] == pytest.approx(best - chance)
    assert outcome.metrics["kept_against_random"] == pytest.approx((best - chance).mean())


def test_knowing_the_bad_players_alone_gains_little(shuffled):
    """The five worst players are known, and the others are in no order: the gap is large, and what is kept is not."""
    values = np.where(shuffled < 5, -1.0, np.random.default_rng(3).random(20))
    known, every = run(point_addition, values, shuffled).metrics, run(point_addition, shuffled).metrics
    assert known["early_gap"] > every["early_gap"] / 2
    assert known["kept_0.1"] < every["kept_0.1"] / 2


def test_weighted_drop_counts_early_drops_more():
    worth = np.zeros(20)
    worth[7] = 20.0
    first = run(point_removal, np.where(worth > 0, 1.0, -np.arange(20)), worth)
    third = run(point_removal, np.where(worth > 0, -1.5, -np.arange(20)), worth)
    harmonic = np.cumsum(1 / np.arange(1, 20))
    assert first.metrics["weighted_drop_high"] == pytest.approx(harmonic[18])
    assert third.metrics["weighted_drop_high"] == pytest.approx(harmonic[18] - harmonic[1])


@pytest.mark.parametrize(("task", "gap"), [(point_removal, "gap"), (point_addition, "early_gap")])
def test_gaps_are_positive_for_right_values_and_negative_for_reversed_ones(task, gap, shuffled):
    right, wrong = run(task, shuffled).metrics, run(task, -shuffled, shuffled).metrics
    assert right[gap] > 1
    assert wrong[gap] == pytest.approx(-right[gap])
    assert right["high_against_random"] > 0.2
    assert right["low_against_random"] > 0.2
    assert wrong["high_against_random"] < -0.2
    assert wrong["low_against_random"] < -0.2


@pytest.mark.parametrize(
    ("task", "start", "sign"),
    [(point_removal, "area", -1), (point_addition, "early_area", 1)],
    ids=["removal", "addition"],
)
def test_differences_to_the_random_order(task, start, sign, shuffled):
    outcome = run(task, shuffled)
    high, low, chance = (outcome.metrics[f"{start}_{name}"] for name in ("high", "low", "random"))
    assert outcome.metrics["high_against_random"] == pytest.approx(sign * (high - chance))
    assert outcome.metrics["low_against_random"] == pytest.approx(sign * (chance - low))
    used = outcome.curves["random"][1:] if task is point_removal else outcome.curves["random"][:10]
    assert chance == pytest.approx(np.mean(used))


@pytest.mark.parametrize("task", [point_removal, point_addition])
def test_all_evaluators_share_the_random_order_of_a_problem(task, shuffled):
    one, other = run(task, shuffled), run(task, -shuffled, shuffled)
    assert one.curves["random"] == other.curves["random"]
    for change in ({"seed": 1}, {"dataset": "other"}):
        assert run(task, shuffled, **change).curves["random"] != one.curves["random"]


def test_the_random_order_is_a_shuffle_of_all_players():
    order = random_order(a_problem(50))
    assert sorted(order) == list(range(50))
    assert abs(np.corrcoef(order, np.arange(50))[0, 1]) < 0.5


@pytest.mark.parametrize("n", [20, 23, 41, 57])
@pytest.mark.parametrize("task", [point_removal, point_addition])
def test_sizes_are_fractions_of_the_players_and_each_subset_holds_the_next(task, n):
    values = np.random.default_rng(n).normal(size=n)
    retrain = Worths(values)
    scored(task, a_problem(n), Valuation(values), retrain)
    wanted = [n - round(Fraction(step, 20) * n) for step in range(20)]
    assert len(retrain.asked) == 60
    for curve in (retrain.asked[:20], retrain.asked[20:40], retrain.asked[40:]):
        curve = curve if task is point_removal else curve[::-1]
        assert [len(players) for players in curve] == wanted
        assert all(after <= before for before, after in pairwise(curve))
    ranking = np.argsort(values)
    assert set(retrain.asked[1]) == set(ranking[: wanted[1]] if task is point_removal else ranking[-wanted[18] :])


@pytest.mark.parametrize(
    "n",
    [15, 20, 23, 41, 50, 57, 1000],
)
def test_an_addition_curve_read_backwards_is_a_removal_curve(n):
    values = np.random.default_rng(n).normal(size=n)
    removal, addition = run(point_removal, values), run(point_addition, values)
    assert addition.curves["add_low"][::-1] == pytest.approx(removal.curves["remove_high"])
    assert addition.curves["add_high"][::-1] == pytest.approx(removal.curves["remove_low"])


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize("task", [point_removal, point_addition])
def test_at_least_one_player_is_trained_on(task, n):
    values = np.arange(n)
    retrain = Worths(values)
    scored(task, a_problem(n), Valuation(values), retrain)
    assert all(retrain.asked)


def test_players_ascend_by_value():
    values = np.array([0.3, -1.0, 2.0, 0.0, 1.5])
    assert ascending(a_problem(5), values).tolist() == [1, 3, 0, 4, 2]


def test_ties_are_in_an_order_of_their_own():
    problem = a_problem(50)
    values = np.repeat([1.0, 0.0], 25)
    order = ascending(problem, values)
    assert sorted(order[:25]) == list(range(25, 50))
    assert sorted(order[25:]) == list(range(25))
    tied = ascending(problem, np.zeros(50))
    assert sorted(tied) == list(range(50))
    assert abs(np.corrcoef(tied, np.arange(50))[0, 1]) < 0.5
    assert tied.tolist() == ascending(problem, np.ones(50)).tolist()
    assert tied.tolist() != ascending(a_problem(50, seed=1), np.zeros(50)).tolist()


@pytest.mark.parametrize(("task", "gap"), [(point_removal, "gap"), (point_addition, "kept_against_random")])
def test_constant_values_do_not_profit_from_sorted_rows(task, gap):
    worth = np.arange(200)
    best = run(task, worth).metrics[gap]
    assert abs(run(task, np.zeros(200), worth).metrics[gap]) < best / 4
