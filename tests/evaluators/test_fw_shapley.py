"""FW-Shapley against enumeration, and its coalitions against the Shapley kernel."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from games import additive_game, majority_game, play, shapley_by_definition

from evaluators import FWShapley
from evaluators.fw_shapley import kernel_coalitions


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "game", [additive_game([3.0, -1, 0, 2, 5, -4]), majority_game([4, 3, 2, 2, 1, 1])], ids=["additive", "majority"]
)
def test_values_are_shapley_values_where_the_network_can_tell_points_apart(game, seed):
    """Brute force: the definition, term by term, of all 64 coalitions."""
    exact = shapley_by_definition(game, 6)
    values = play(FWShapley(utilities=64, steps=2000, random_state=seed), game, 6)
    np.testing.assert_allclose(values, exact, atol=0.01 * np.ptp(exact))
    assert values.sum() == pytest.approx(game(range(6)) - game([]))


def test_few_coalitions_are_enough_where_values_follow_from_features():
    """Half as many coalitions as players: a regression without features could not know."""
    worth = np.sin(np.linspace(0, 6, 100))
    values = play(FWShapley(utilities=52, steps=1500, random_state=0), additive_game(worth), 100)
    assert np.corrcoef(values, worth)[0, 1] > 0.9


def test_coalitions_have_the_probabilities_of_the_kernel():
    drawn, weights = kernel_coalitions(6, 61, np.random.RandomState(0))
    assert weights == pytest.approx(1 / 61)
    drawn = np.vstack([kernel_coalitions(6, 60, np.random.RandomState(seed))[0] for seed in range(400)])
    np.testing.assert_array_equal(drawn[0::2], ~drawn[1::2])
    kernel = np.array([5 / (comb(6, s) * s * (6 - s)) for s in range(1, 6)])
    expected = kernel * [comb(6, s) for s in range(1, 6)]
    shares = np.bincount(drawn.sum(axis=1), minlength=7)[1:6] / len(drawn)
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.01)
    assert np.ptp(drawn.mean(axis=0)) < 0.02  # no player is drawn more often than another


@pytest.mark.parametrize(
    ("n", "count", "expected"), [(1, 10, 0), (2, 5, 2), (3, 5, 5), (3, 6, 6), (40, 7, 7), (40, 0, 0)]
)
def test_few_players_or_few_coalitions(n, count, expected):
    drawn, weights = kernel_coalitions(n, count, np.random.RandomState(0))
    assert drawn.shape == (expected, n)
    assert weights.sum() == pytest.approx(1 if expected else 0)
    assert drawn.any(axis=1).all()
    assert not drawn.all(axis=1).any()


def test_one_player_has_all_the_utility():
    assert play(FWShapley(utilities=10, random_state=0), additive_game([2.5]), 1) == pytest.approx([2.5])
