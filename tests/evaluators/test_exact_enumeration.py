"""Mean marginal contributions by enumeration, and the values that Data and Beta Shapley make of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from games import majority_game, many, shapley_by_definition
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import beta as beta_function

from dvbench.games import enumerable, exact_marginal_contributions
from evaluators import BetaShapley, DataShapley
from evaluators.common.sampling import PermutationSampler

WEIGHTS = [4, 3, 2, 1, 1]


def tabled(table):
    return lambda coalition: float(table[sum(2 ** int(i) for i in coalition)])


def semivalue(game, n, alpha, beta):
    """Equations 3 and 5 of the Beta Shapley paper, term by term."""
    values = np.zeros(n)
    for j in range(n):
        weight = n * beta_function(j + beta, n - j - 1 + alpha) / beta_function(alpha, beta) / n
        for i in range(n):
            others = [k for k in range(n) if k != i]
            for coalition in combinations(others, j):
                values[i] += weight * (game([*coalition, i]) - game(coalition))
    return values


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, 16, elements=st.floats(-1, 1)))
def test_rows_are_means_over_coalitions_of_one_size_and_their_mean_is_the_shapley_value(table):
    game = tabled(table)
    actual = exact_marginal_contributions(many(game), 4)
    for player in range(4):
        others = [k for k in range(4) if k != player]
        for size in range(4):
            gains = [game([*c, player]) - game(c) for c in combinations(others, size)]
            assert actual[player, size] == pytest.approx(np.mean(gains), abs=1e-12)
    np.testing.assert_allclose(actual.mean(axis=1), shapley_by_definition(game, 4), atol=1e-12)


def test_every_coalition_is_asked_for_once():
    asked = []

    def game(coalitions):
        asked.extend(tuple(sorted(c.tolist())) for c in coalitions)
        return np.zeros(len(coalitions))

    exact_marginal_contributions(game, 5)
    assert len(asked) == len(set(asked)) == 32


@pytest.mark.parametrize(("n", "enough"), [(1, 1), (2, 2), (3, 3), (4, 5), (5, 8), (6, 13)])
def test_enumerating_takes_no_more_than_it_spares(n, enough):
    """2^n utilities, against those of nobody, everybody and n - 1 more a permutation."""
    assert enumerable(n, enough)
    assert 2**n <= 2 + enough * (n - 1)
    assert enough == 1 or not enumerable(n, enough - 1)


def sampled(evaluator, game, n):
    """Values of a game by one of OpenDataVal's evaluators, and the coalitions that were asked for."""
    asked = []

    def utility(coalition, **_):
        asked.append(tuple(coalition))
        return game(coalition)

    evaluator.num_points = n
    evaluator.sampler.set_coalition(torch.zeros(n, 1))
    evaluator.sampler.set_evaluator(utility)
    evaluator.marg_contrib = evaluator.sampler.compute_marginal_contribution()
    return evaluator.evaluate_data_values(), asked


def test_data_shapley_of_few_players_is_exact():
    game = majority_game(WEIGHTS)
    values, asked = sampled(DataShapley(permutations=8, random_state=0), game, 5)
    np.testing.assert_allclose(values, shapley_by_definition(game, 5), atol=1e-12)
    assert len(asked) == 32
    other, asked = sampled(DataShapley(permutations=7, random_state=0), game, 5)
    assert len(asked) == 2 + 7 * 4
    assert not np.allclose(other, values)


@pytest.mark.parametrize(("alpha", "beta"), [(1, 1), (4, 1), (1, 4), (2, 3)])
def test_beta_shapley_of_few_players_is_the_semivalue(alpha, beta):
    game = tabled(np.random.default_rng(0).normal(size=32))
    values, _ = sampled(BetaShapley(permutations=8, alpha=alpha, beta=beta, random_state=0), game, 5)
    np.testing.assert_allclose(values, semivalue(game, 5, alpha, beta), atol=1e-12)


def test_players_that_are_always_there_are_not_enumerated():
    asked = []
    sampler = PermutationSampler(100, min_cardinality=2, random_state=0)
    sampler.set_evaluator(lambda coalition: float(asked.append(len(coalition)) or len(coalition)))
    sampler.set_coalition(torch.zeros(4, 1))
    contributions = sampler.compute_marginal_contribution()
    assert min(asked) == 2
    assert (contributions[:, :2] == 0).all()
