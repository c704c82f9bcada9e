"""Shapley values of games whose utilities are all known: by brute force, and by the axioms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dvbench.games import tabulated_shapley_values

numbers = st.floats(-10, 10, allow_subnormal=False)


def tables(low, high):
    """Utilities of games of as many players."""
    return st.integers(low, high).flatmap(lambda n: arrays(np.float64, 2**n, elements=numbers))


def by_brute_force(utilities):
    """Mean over all orders of what each player adds to those before it."""
    n = len(utilities).bit_length() - 1
    values, orders = np.zeros(n), list(permutations(range(n)))
    for order in orders:
        present = 0
        for player in order:
            values[player] += (utilities[present + 2**player] - utilities[present]) / len(orders)
            present += 2**player
    return values


@settings(max_examples=40, deadline=None)
@given(tables(1, 5))
def test_values_are_means_over_all_orders(utilities):
    np.testing.assert_allclose(tabulated_shapley_values(utilities), by_brute_force(utilities), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(tables(1, 8))
def test_efficiency(utilities):
    assert tabulated_shapley_values(utilities).sum() == pytest.approx(utilities[-1] - utilities[0], abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, st.integers(1, 8), elements=numbers))
def test_of_an_additive_game_values_are_worths(worth):
    inside = np.arange(2 ** len(worth))[:, np.newaxis] >> np.arange(len(worth)) & 1
    np.testing.assert_allclose(tabulated_shapley_values(inside @ worth + 0.5), worth, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(tables(1, 6), st.data())
def test_a_player_who_adds_nothing_gets_nothing(utilities, data):
    n = len(utilities).bit_length() - 1
    player = data.draw(st.integers(0, n - 1))
    without = utilities[np.arange(2**n) & ~(1 << player)]
    assert tabulated_shapley_values(without)[player] == 0


@settings(max_examples=40, deadline=None)
@given(tables(2, 6), st.data())
def test_players_have_no_names(utilities, data):
    """Renaming players renames values, to the bit; so players who are alike get the same."""
    n = len(utilities).bit_length() - 1
    order = np.array(data.draw(st.permutations(range(n))))
    inside = np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1
    renamed = utilities[inside @ 2**order]  # player i is called order[i] in the table
    assert tabulated_shapley_values(renamed).tolist() == tabulated_shapley_values(utilities)[order].tolist()
