"""AME against its definition, on games with known answers, and OpenDataVal's features and folds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import opendataval.dataval as stock
import pytest
from games import additive_game, majority_game, play

from evaluators import AME
from evaluators.baselines.ame import (
    PROPORTIONS,
    VARIANCE,
    estimated_marginal_effects,
    exact_marginal_effects,
    features_of,
)
from evaluators.common.coalitions import every_inclusion

GAMES = {
    "size": lambda coalition: 0.5 + 0.08 * len(coalition),
    "additive": additive_game([1, 2, -1, 0, 0.5, 3]),
    "majority": majority_game([4, 3, 2, 1, 1, 1]),
    "pair": lambda coalition: float(0 in coalition and 5 in coalition),
}


def by_definition(game, n):
    """Mean over proportions p of the mean of U(S + i) - U(S), where S contains each other player with probability p."""
    values = np.zeros(n)
    for p in (0.2, 0.4, 0.6, 0.8):
        for i in range(n):
            others = [j for j in range(n) if j != i]
            for size in range(n):
                for coalition in combinations(others, size):
                    gain = game(sorted([*coalition, i])) - game(list(coalition))
                    values[i] += p**size * (1 - p) ** (n - 1 - size) * gain / 4
    return values


def estimate(game, n, models, seed):
    """The lasso's estimate, also where enumeration would be cheaper."""
    rng = np.random.RandomState(seed)
    inclusion = np.vstack([rng.binomial(1, p, size=(models, n)) for p in PROPORTIONS]).astype(bool)
    utilities = np.array([game(np.flatnonzero(row).tolist()) for row in inclusion])
    return estimated_marginal_effects(inclusion, np.repeat(PROPORTIONS, models), utilities, seed)


def test_players_alike_have_equal_values():
    """OpenDataVal skips player 0 alone and the empty coalition, and regresses on utility 0 for both."""
    np.testing.assert_allclose(play(AME(random_state=0), GAMES["size"], 6), 0.08, atol=1e-12)
    theirs = play(stock.AME(num_models=250, random_state=np.random.RandomState(0)), GAMES["size"], 6)
    assert np.ptp(theirs) > 0.03  # the fault


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_few_players_have_their_exact_values(game):
    np.testing.assert_allclose(play(AME(models=16, random_state=0), game, 6), by_definition(game, 6), atol=1e-12)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_the_lasso_estimates_them(game):
    values = np.array([estimate(game, 6, 1000, seed) for seed in range(4)])
    expected = by_definition(game, 6)
    scale = max(np.abs(expected).max(), 0.1)
    np.testing.assert_allclose(values, np.tile(expected, (4, 1)), atol=0.12 * scale)
    np.testing.assert_allclose(values.mean(axis=0), expected, atol=0.05 * scale)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_coefficients_of_the_features_are_effects_in_expectation(game):
    """Over all coalitions with their probabilities, not a sample: features are uncorrelated and have unit variance."""
    inclusion = every_inclusion(6)
    sizes = inclusion.sum(axis=1)
    moments, covariance = np.zeros((6, 6)), np.zeros(6)
    utilities = np.array([game(np.flatnonzero(row).tolist()) for row in inclusion])
    for p in PROPORTIONS:
        weights = p**sizes * (1 - p) ** (6 - sizes) / 4
        features = features_of(inclusion, np.full(64, p))
        np.testing.assert_allclose(weights @ features, 0, atol=1e-12)
        moments += (weights[:, np.newaxis] * features).T @ features
        covariance += features.T @ (weights * utilities)
    np.testing.assert_allclose(moments, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(covariance * VARIANCE**0.5, by_definition(game, 6), atol=1e-12)
    np.testing.assert_allclose(exact_marginal_effects(inclusion, utilities), by_definition(game, 6), atol=1e-12)


def test_what_all_players_are_worth_is_not_lost():
    """With ten seeds values are 0.92 to 1.06 and their means 0.977 to 1.007. Z-scores of coalitions leave 0.17."""
    values = play(AME(models=250, random_state=0), lambda coalition: float(len(coalition)), 20)
    np.testing.assert_allclose(values, 1, atol=0.12)
    assert values.mean() == pytest.approx(1, abs=0.03)
    theirs = play(AME(models=250, variant="opendataval", random_state=0), lambda coalition: float(len(coalition)), 20)
    assert np.abs(theirs).max() < 0.3  # the fault


def test_players_that_add_nothing_have_values_near_zero():
    worth = np.zeros(20)
    worth[:2] = 1
    values = play(AME(models=100, random_state=0), additive_game(worth), 20)
    np.testing.assert_allclose(values, worth, atol=0.1)


def test_opendatavals_variant_is_its_class_if_nothing_is_skipped():
    game = additive_game(np.arange(30) / 30)
    ours = play(AME(models=20, variant="opendataval", random_state=np.random.RandomState(1)), game, 30)
    theirs = play(stock.AME(num_models=20, random_state=np.random.RandomState(1)), game, 30)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert np.ptp(ours) > 0


def test_opendatavals_variant_trains_every_coalition():
    fitted = []
    play(AME(models=50, variant="opendataval", random_state=0), lambda c: float(fitted.append(tuple(c)) or len(c)), 3)
    assert len(fitted) == 200
    assert {(), (0,)} <= set(fitted)


def test_folds_are_seeded():
    game = majority_game(np.arange(1, 21))
    evaluator = AME(models=20, random_state=3)
    first = play(evaluator, game, 20)
    np.testing.assert_array_equal(evaluator.evaluate_data_values(), first)
    np.testing.assert_array_equal(play(AME(models=20, random_state=3), game, 20), first)
    assert not np.array_equal(play(AME(models=20, random_state=4), game, 20), first)


@pytest.mark.parametrize(
    ("params", "message"), [({"models": 1}, "at least 2, not 1"), ({"variant": "stock"}, "'paper' or 'opendataval'")]
)
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        AME(**params)
