"""Ranks of values, and what is said about ties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from dvbench.own_data.doubts import (
    accuracy_remarks,
    chance_remark,
    differ_by_chance,
    order_remarks,
    rare_remarks,
    sign_remarks,
    tie_remarks,
)
from dvbench.own_data.values import Values, ranks


def made(values: list[float], kind: str = "classification") -> Values:
    """Values of rows that a file numbers from 2."""
    frame = pd.DataFrame({"row": np.arange(len(values)) + 2, "label": "a", "value": values})
    frame = frame.assign(spread=0.1, rank=ranks(np.array(values)))
    return Values(frame, kind, "knn_shapley", "logistic_regression", "accuracy", "5 folds", "line", ("read",), (), 0.1)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40))
def test_equal_values_share_the_lowest_of_their_ranks(numbers: list[int]) -> None:
    values = np.array(numbers, dtype=float)
    np.testing.assert_array_equal(ranks(values), rankdata(-values, method="min"))


@given(st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=2, max_size=30))
def test_ranks_never_contradict_values(numbers: list[float]) -> None:
    values = np.array(numbers)
    by_rank = ranks(values)
    higher = values[:, None] > values[None, :] + 2e-9 * len(values) * np.ptp(values)
    assert (by_rank[:, None] < by_rank[None, :])[higher].all()


def test_rounding_is_a_tie_and_a_small_scale_is_none() -> None:
    assert ranks(np.array([0.3, 0.1 + 0.2, -1.0])).tolist() == [1, 1, 3]
    assert ranks(np.array([3e-20, 2e-20, 1e-20])).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0] * 10, "all 10 values are equal: they rank no rows"),
        ([0.0] * 6 + [1.0, 2.0, 3.0, 4.0], "6 of 10 values are equal: among these rows there is no order"),
        ([0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0], None),
        ([1.0], None),
    ],
)
def test_ties_are_said(values: list[float], expected: str | None) -> None:
    remarks = tie_remarks(ranks(np.array(values)), "rows", "accuracy")
    assert [remark.split(";")[0] for remark in remarks] == ([expected] if expected else [])
    assert all("--utility log_loss" in remark for remark in remarks)
    assert all("--utility" not in remark for remark in tie_remarks(ranks(np.array(values)), "rows", "log_loss"))


def test_only_advice_that_can_help_is_given() -> None:
    ranked = ranks(np.zeros(10))
    assert tie_remarks(ranked, "rows", None, folds=False)[0].endswith("; try another evaluator")
    assert tie_remarks(ranked, "rows", "accuracy", folds=False)[0].endswith(
        "; try --utility log_loss or another evaluator"
    )
    assert tie_remarks(ranked, "rows", None)[0].endswith("; try another evaluator or fewer folds")


def test_the_summary_orders_no_rows_that_are_tied() -> None:
    most, least = made([0.0, 1.0, *[2.0] * 28]).summary().partition("least valuable:")[::2]
    assert most.splitlines()[-1] == "28 rows with the same value, 2"
    lines = least.split("check the labels")[0].strip().splitlines()
    assert [int(line.split()[0]) for line in lines[1:-1]] == [2, 3]
    assert lines[-1] == "then 28 rows with the same value, 2"


def test_rows_to_check_are_the_lowest_without_those_that_tie_with_others() -> None:
    assert made([float(i) for i in range(30)]).suspects() == [2, 3, 4]
    assert made([float(i) for i in range(300)]).suspects() == list(range(2, 12))
    assert made([0.0, 1.0, *[2.0] * 28]).suspects() == [2, 3]
    assert made([0.0] * 30).suspects() == []
    some = made([0.0] * 12 + [float(i) for i in range(1, 189)])  # more share the lowest value than ten, but no tenth
    assert some.suspects() == list(range(2, 14))
    many = made([0.0] * 60 + [float(i) for i in range(1, 541)])
    assert many.suspects() == list(range(2, 62))
    assert many.summary().splitlines()[-1].endswith("50, 51 and 10 more")
    most = made([0.0] * 30 + [float(i) for i in range(1, 171)])
    assert most.suspects() == []
    assert "no rows are named to check first: 30 share the lowest value" in most.summary()
    assert made([float(i) for i in range(30)], "regression").suspects() == []


def test_the_summary_has_both_ends_and_what_was_read() -> None:
    text = made([float(i) for i in range(30)]).summary()
    assert text.startswith("read\nby knn_shapley, logistic_regression, classification, 30 rows, 5 folds")
    most, least = text.partition("least valuable:")[::2]
    assert [int(line.split()[0]) for line in most.splitlines()[-10:]] == list(range(31, 21, -1))
    assert [int(line.split()[0]) for line in least.splitlines()[2:12]] == list(range(2, 12))
    assert text.endswith("by line: 2, 3, 4")


def valuations(generator: np.random.Generator, effects: np.ndarray, folds: int = 5) -> np.ndarray:
    """Values with noise of deviation 1, a shift of each fold, and one fold in which each player is not valued."""
    n = len(effects)
    values = effects + generator.standard_normal((folds, n)) + 10 * generator.standard_normal((folds, 1))
    values[generator.integers(folds, size=n), np.arange(n)] = np.nan
    return values


@pytest.mark.parametrize(("n", "folds"), [(2, 2), (2, 3), (3, 2)])
def test_a_few_groups_that_are_noise_differ_by_chance(n: int, folds: int) -> None:
    """Ranks of so few would often be the same in each fold by chance."""
    generator, unknown = np.random.default_rng(n), np.full(n, np.nan)
    share = np.mean([differ_by_chance(generator.standard_normal((folds, n)), unknown) for _ in range(400)])
    assert 0.91 < share < 0.985


@pytest.mark.parametrize("n", [3, 40])
def test_values_that_are_noise_differ_by_chance(n: int) -> None:
    generator = np.random.default_rng(n)
    unknown = np.full(n, np.nan)
    share = np.mean([differ_by_chance(valuations(generator, np.zeros(n)), unknown) for _ in range(400)])
    assert 0.91 < share < 0.985  # 1 minus the level, give or take three standard errors
    one = [differ_by_chance(generator.standard_normal((1, n)) * 0.3, np.full(n, 0.3)) for _ in range(400)]
    assert 0.91 < np.mean(one) < 0.985


def test_values_that_repeat_do_not_differ_by_chance() -> None:
    generator = np.random.default_rng(0)
    effects = np.arange(10.0)
    assert not differ_by_chance(valuations(generator, effects), np.full(10, np.nan))
    assert not differ_by_chance(effects[None], np.full(10, 0.5))
    assert not differ_by_chance(effects[None], np.full(10, np.nan))  # nothing is known of the noise
    assert not differ_by_chance(np.tile(effects, (5, 1)), np.full(10, np.nan))  # there is no noise
    assert not differ_by_chance(np.ones((5, 1)), np.ones(1))  # one group has no order


def test_noise_has_no_rows_to_check() -> None:
    assert replace(made([float(i) for i in range(30)]), separable=False).suspects() == []
    assert "a test does not tell" in chance_remark("rows")


def test_extreme_values_do_not_hide_that_the_order_repeats() -> None:
    """Of values with a heavy tail an analysis of variance sees the tail alone."""
    generator = np.random.default_rng(0)
    values = valuations(generator, np.repeat([0.0, 3.0], 20))
    values[0, :2] = 1e4 * generator.standard_normal(2)
    assert not differ_by_chance(values, np.full(40, np.nan))


def test_a_rare_class_with_low_values_and_groups_with_negative_ones_are_named() -> None:
    labels = np.array(["a"] * 96 + ["b"] * 4)
    assert "all 4 rows of class 'b' are among the lowest 20%" in rare_remarks(np.arange(1, 101), labels)[0]
    assert rare_remarks(np.arange(100, 0, -1), labels) == []
    assert "3 of 4 groups have a negative value" in sign_remarks(np.array([-1.0, -2.0, -3.0, 1.0]), grouped=True)[0]
    assert sign_remarks(np.array([-1.0, -2.0, -3.0, 1.0])) == []


def test_neighbours_in_rank_whose_order_may_be_chance_are_named() -> None:
    names, none = np.array(list("abc")), np.full(3, np.nan)
    # a is above b in every fold by about the same, though both differ much from fold to fold; b and c take turns.
    folds = np.array([[3.0, 2.0, 1.0], [9.1, 8.0, 9.0], [5.0, 4.1, 3.0], [1.0, 0.0, 0.9]])
    assert order_remarks(names, folds, none) == ["neighbours in rank whose order may be chance: 'b' and 'c'"]
    assert order_remarks(names, folds[:, :2], none) == []
    assert order_remarks(names, folds[:1], none) == []  # one valuation whose errors are not known
    errors = np.array([0.1, 0.5, 0.5])  # b and c are 1 apart, and the error of their difference is .71
    assert order_remarks(names, folds[:1], errors) == ["neighbours in rank whose order may be chance: 'b' and 'c'"]
    many = order_remarks(np.array(list("abcdef")), np.zeros((1, 6)), np.ones(6))
    assert many[0].endswith(": 'a' and 'b'; 'b' and 'c'; 'c' and 'd' and 2 more pairs")


def test_a_group_that_is_missing_in_all_folds_but_one_is_compared_with_nobody() -> None:
    folds = np.array([[3.0, 2.0], [np.nan, 1.0]])
    assert order_remarks(np.array(["a", "b"]), folds, np.full(2, np.nan)) == []


def test_lowest_values_that_are_the_same_in_all_folds_are_no_chance() -> None:
    """Neither heavy-tailed values nor all ranks show that six of 300 players are always among the lowest."""
    rng = np.random.default_rng(0)
    values, unknown = rng.standard_cauchy((4, 300)), np.full(300, np.nan)
    assert differ_by_chance(values, unknown)
    values[:, :6] = -np.abs(values[:, :6]) - 8
    assert not differ_by_chance(values, unknown)


def test_no_more_than_a_twentieth_of_valuations_by_chance_seem_to_differ() -> None:
    rng = np.random.default_rng(0)
    said = [differ_by_chance(rng.standard_cauchy((4, 100)), np.full(100, np.nan)) for _ in range(100)]
    assert np.mean(said) >= 0.9


def test_groups_that_are_all_negative_are_doubted_and_rows_are_not() -> None:
    values = np.array([-3.0, -2.0, -1.0])
    assert "3 of 3 groups have a negative value: distrust that" in sign_remarks(values, grouped=True)[0]
    assert "compare their order" in sign_remarks(values)[0]


def test_accuracy_of_a_few_validation_rows_is_doubted() -> None:
    said = accuracy_remarks(np.array([0.005, -0.0025, 0.0]), 400)
    assert said[0].startswith("one row of the validation set is 0.0025 of the accuracy")
    assert accuracy_remarks(np.array([0.03, 0.0]), 400) == []
    assert accuracy_remarks(np.zeros(3), 400) == []
