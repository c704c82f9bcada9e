"""Shapley values by permutations and by enumeration, on games with known values."""

from __future__ import annotations

import time

import numpy as np
import pytest
from games import additive_game, majority_game, many, shapley_by_definition
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dvbench.games import exact_shapley_values, marginal_contributions, shapley_values
from dvbench.sampling import RunningMean, Stopping

WEIGHTS = [4, 3, 2, 1, 1]
MANY = [5, 4, 3, 3, 2, 1, 1, 1]  # too many to be enumerated for the fewest permutations


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, 8, elements=st.floats(-1, 1)))
def test_enumeration_is_the_definition(table):
    def game(coalition):
        return float(table[sum(2**i for i in coalition)])

    np.testing.assert_allclose(exact_shapley_values(many(game), 3), shapley_by_definition(game, 3), atol=1e-12)


def test_additive_game_is_exact_after_one_permutation():
    worth = np.linspace(-1, 2, 30)
    estimate = shapley_values(many(additive_game(worth)), 30, Stopping(permutations=2), np.random.RandomState(0))
    np.testing.assert_allclose(estimate.values, worth, atol=1e-12)
    assert estimate.draws == 0


def test_majority_game_within_its_own_standard_errors():
    game, n = majority_game(MANY), len(MANY)
    exact = shapley_by_definition(game, n)
    covered = []
    for seed in range(200):
        estimate = shapley_values(many(game), n, Stopping(seconds=60, standard_error=0.05), np.random.RandomState(seed))
        assert estimate.permutations >= Stopping.MINIMUM
        assert estimate.standard_errors.max() <= 0.05
        covered.append(np.abs(estimate.values - exact) <= 2 * estimate.standard_errors)
    assert 0.9 < np.mean(covered) < 0.99  # the intervals are neither too short nor too long


def test_few_players_are_enumerated():
    calls = []

    def game(coalition):
        calls.append(len(coalition))
        return majority_game(WEIGHTS)(coalition)

    estimate = shapley_values(many(game), 5, Stopping(permutations=8), np.random.RandomState(0))
    np.testing.assert_allclose(estimate.values, shapley_by_definition(majority_game(WEIGHTS), 5), atol=1e-12)
    assert (len(calls), estimate.permutations, estimate.standard_errors.max()) == (32, 0, 0)


def test_permutations_share_the_ends_and_sum_to_the_worth_of_all():
    calls = []

    def game(coalition):
        calls.append(len(coalition))
        return float(len(coalition) ** 2)

    estimate = shapley_values(many(game), 10, Stopping(permutations=3), np.random.RandomState(0))
    assert (calls.count(0), calls.count(10), len(calls)) == (1, 1, 2 + 3 * 9)
    assert estimate.values.sum() == pytest.approx(100)


def test_time_stops_sampling():
    estimate = shapley_values(many(additive_game(np.ones(20))), 20, Stopping(seconds=1e-9), np.random.RandomState(0))
    assert estimate.permutations == 1
    assert np.isinf(estimate.standard_errors).all()


@pytest.mark.parametrize("limits", [{}, {"permutations": 0}, {"seconds": -1.0}])
def test_sampling_needs_a_limit_it_can_reach(limits):
    with pytest.raises(ValueError, match=r"permutations, seconds|above 0|at least 1"):
        Stopping(**limits)


def test_antithetic_permutations_come_with_their_reverse():
    """Of a game of pairs every player then gets its value exactly, from one pair of permutations."""
    asked = []

    def game(coalition):
        asked.append(frozenset(coalition.tolist()))
        return float(len(coalition) ** 2)

    estimate = shapley_values(many(game), 9, Stopping(permutations=6), np.random.RandomState(0), antithetic=True)
    np.testing.assert_allclose(estimate.values, 9, atol=1e-12)
    assert estimate.permutations == 6
    prefixes = [asked[start : start + 8] for start in range(2, len(asked), 8)]  # after the ends, of each permutation
    assert len(prefixes) == 6
    for forwards, backwards in zip(prefixes[::2], prefixes[1::2], strict=True):
        assert backwards == [frozenset(range(9)) - prefix for prefix in reversed(forwards)]


def test_antithetic_standard_errors_are_those_of_pairs():
    game, n = majority_game(MANY), len(MANY)
    exact, covered = shapley_by_definition(game, n), []
    for seed in range(200):
        limits = Stopping(seconds=60, standard_error=0.05)
        estimate = shapley_values(many(game), n, limits, np.random.RandomState(seed), antithetic=True)
        assert estimate.permutations % 2 == 0
        covered.append(np.abs(estimate.values - exact) <= 2 * estimate.standard_errors)
    assert 0.9 < np.mean(covered) < 0.99


def test_truncation_looks_at_the_level_and_not_at_increments():
    """Utilities fall and stand still on the way up; only what follows the first at the limit is left out."""
    levels = np.array([0.0, -1.0, -1.0, 0.5, 0.5, 3.0, 2.0, 4.0])
    asked = []

    def game(coalitions):
        asked.extend(len(coalition) for coalition in coalitions)
        return np.array([levels[len(coalition)] for coalition in coalitions])

    order = np.arange(7)
    whole = marginal_contributions(game, order, 0.0, 4.0)
    np.testing.assert_array_equal(whole, np.diff(levels))
    cut = marginal_contributions(game, order, 0.0, 4.0, limit=2.9)
    np.testing.assert_array_equal(cut, [*np.diff(levels)[:5], 0, 0])
    np.testing.assert_array_equal(marginal_contributions(game, order, 0.0, 4.0, limit=0.0), np.zeros(7))


def test_truncated_permutations_ask_for_no_more_utilities():
    asked = []

    def game(coalitions):
        asked.extend(len(coalition) for coalition in coalitions)
        return np.array([float(len(coalition)) for coalition in coalitions])

    shapley_values(game, 100, Stopping(permutations=3), np.random.RandomState(0), limit=10.0, at_once=4)
    assert len(asked) == 2 + 3 * 12


def test_time_is_looked_at_within_a_permutation():
    blocks = []

    def game(coalitions):
        blocks.append(len(coalitions))
        time.sleep(0.01)
        return np.zeros(len(coalitions))

    estimate = shapley_values(game, 41, Stopping(seconds=0.15), np.random.RandomState(0), at_once=4)
    assert estimate.permutations == 1
    assert 11 < len(blocks) <= 17  # the ends, ten blocks of the first permutation, a part of the second


def test_few_players_are_enumerated_where_only_an_error_is_asked():
    estimate = shapley_values(many(majority_game(WEIGHTS)), 5, Stopping(standard_error=1e-9), np.random.RandomState(0))
    np.testing.assert_allclose(estimate.values, shapley_by_definition(majority_game(WEIGHTS), 5), atol=1e-12)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.sampled_from([0.0, 1e6]), st.integers(0, 100))
def test_a_running_mean_is_that_of_all_samples(counts, offset, seed):
    """However they come, and also where they lie far from zero."""
    samples = np.random.RandomState(seed).normal(offset, size=(sum(counts), 3))
    running = RunningMean(3)
    for part in np.split(samples, np.cumsum(counts)[:-1]):
        running.add(part)
    np.testing.assert_allclose(running.mean, samples.mean(axis=0))
    if len(samples) > 1:
        expected = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
        np.testing.assert_allclose(running.standard_errors, expected, rtol=1e-6)
    else:
        assert np.isinf(running.standard_errors).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("at_once", [1, 2, 128])
def test_a_utility_that_is_no_number_is_an_error(wrong, at_once):
    def game(coalitions):
        return np.array([wrong if len(coalition) == 3 else len(coalition) for coalition in coalitions])

    for n, stopping in (
        (8, Stopping(permutations=1)),
        (8, Stopping(standard_error=0.1)),
        (3, Stopping(permutations=9)),
    ):
        with pytest.raises(FloatingPointError, match="utility of a coalition of 3 players is NaN or infinite"):
            shapley_values(game, n, stopping, np.random.RandomState(0), at_once=at_once)


@pytest.mark.parametrize("limits", [{"seconds": np.nan}, {"standard_error": np.nan}, {"permutations": 0}])
def test_limits_are_above_zero(limits):
    with pytest.raises(ValueError, match=r"above 0|at least 1"):
        Stopping(**limits)


def test_enumeration_keeps_to_a_time_limit():
    asked = []

    def game(coalitions):
        asked.append(len(coalitions))
        time.sleep(0.01)
        return np.zeros(len(coalitions))

    stopping = Stopping(permutations=20_000, seconds=0.05)
    assert shapley_values(game, 16, stopping, np.random.RandomState(0)).permutations > 0
    assert sum(asked) < 2**16
    assert shapley_values(game, 3, stopping, np.random.RandomState(0)).permutations == 0
