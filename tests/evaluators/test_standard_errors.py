"""Standard errors of Shapley values: of random games, of enumerations, and of samples that are all equal."""

from __future__ import annotations

import numpy as np
import pytest
from games import majority_game, many

import dvbench.games as games_module
from dvbench.games import RandomGame, shapley_values
from dvbench.sampling import CONFIDENCE, RunningMean, Sampling, Stopping, make_sampling
from evaluators import UnlearningShapley

WORTH = np.array([0.5, -1.0, 2.0, 0.0, 1.0, 3.0, -0.5, 0.25])


def noisy(n, seed, sd=1.0):
    """A random game: in every draw each player is worth its worth and something random."""

    def draw(number):
        worth = WORTH[:n] + np.random.default_rng([seed, number]).normal(0, sd, n)
        return many(lambda coalition: float(worth[coalition].sum()))

    return RandomGame(draw)


@pytest.mark.parametrize("antithetic", [False, True])
def test_errors_of_a_random_game_include_its_randomness(antithetic):
    """The game is additive, so that permutations alone would not differ at all."""
    covered = []
    for seed in range(150):
        rng = np.random.RandomState(seed)
        estimate = shapley_values(noisy(8, seed), 8, Stopping(permutations=20), rng, antithetic=antithetic)
        assert estimate.draws == (10 if antithetic else 20)
        covered.append(np.abs(estimate.values - WORTH) <= 2 * estimate.standard_errors)
    assert 0.88 < np.mean(covered) < 0.97


def test_enumerations_of_a_random_game_are_its_draws():
    game, rng = noisy(3, 1), np.random.RandomState(0)
    estimate = shapley_values(game, 3, Stopping(permutations=4), rng, draws=5)
    draws = WORTH[:3] + [np.random.default_rng([1, number]).normal(0, 1, 3) for number in range(5)]
    np.testing.assert_allclose(estimate.values, draws.mean(axis=0))
    np.testing.assert_allclose(estimate.standard_errors, draws.std(axis=0, ddof=1) / np.sqrt(5))
    assert (estimate.permutations, estimate.draws) == (0, 5)


@pytest.mark.parametrize(("permutations", "draws"), [(3, 1), (7, 2), (100, 25)])
def test_there_are_as_many_enumerations_as_permutations_pay_for(permutations, draws):
    """Eight utilities an enumeration, two of three players for each permutation and two for the ends."""
    asked = []

    def draw(number):
        return lambda coalitions: asked.extend(coalitions) or np.zeros(len(coalitions))

    estimate = shapley_values(RandomGame(draw), 3, Stopping(permutations=permutations), np.random.RandomState(0))
    assert (estimate.draws, len(asked)) == (draws, 8 * draws)
    assert len(asked) <= 2 + 2 * permutations


def test_of_one_draw_the_error_is_unknown_and_without_randomness_it_is_zero():
    rng = np.random.RandomState(0)
    assert np.isinf(shapley_values(noisy(3, 1), 3, Stopping(permutations=4), rng, draws=1).standard_errors).all()
    exact = shapley_values(many(majority_game([2, 1, 1])), 3, Stopping(permutations=100), rng, draws=7)
    assert (exact.draws, exact.standard_errors.tolist()) == (0, [0, 0, 0])


def test_enumerations_go_on_until_the_target_and_the_time():
    rng = np.random.RandomState(0)
    estimate = shapley_values(noisy(3, 1), 3, Stopping(standard_error=0.2), rng)
    assert estimate.standard_errors.max() <= 0.2
    assert estimate.draws >= Stopping.MINIMUM
    assert shapley_values(noisy(3, 1), 3, Stopping(seconds=1e-9), rng).draws == 1


@pytest.mark.parametrize("limits", [{}, {"standard_error": 1e-9}, {"permutations": 10**9}])
def test_enumerations_go_on_until_the_time_is_over(limits, monkeypatch):
    """By a clock that goes on by one second in each draw."""
    seconds = [0.0]
    monkeypatch.setattr(games_module.time, "perf_counter", lambda: seconds[0])
    quiet = noisy(3, 1)

    def draw(number):
        seconds[0] += 1
        return quiet.draw(number)

    estimate = shapley_values(RandomGame(draw), 3, Stopping(seconds=50, **limits), np.random.RandomState(0))
    assert (estimate.permutations, estimate.draws) == (0, 50)
    seconds[0] = 0.0
    sampling = {"target_standard_error" if name == "standard_error" else name: limit for name, limit in limits.items()}
    evaluator = UnlearningShapley(sampling={"seconds": 50, **sampling}, random_state=0)
    assert evaluator.estimate(RandomGame(draw), 3).draws == 50


def test_enumerations_stop_at_the_first_of_several_limits():
    rng = np.random.RandomState(0)
    target = shapley_values(noisy(3, 1), 3, Stopping(seconds=600, standard_error=0.2), rng)
    assert Stopping.MINIMUM <= target.draws == shapley_values(noisy(3, 1), 3, Stopping(standard_error=0.2), rng).draws
    assert shapley_values(noisy(3, 1), 3, Stopping(permutations=100, seconds=600), rng).draws == 25
    assert shapley_values(noisy(3, 1), 3, Stopping(seconds=600), rng, draws=4).draws == 4


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_draws_are_a_whole_number_above_zero(wrong):
    with pytest.raises(ValueError, match="draws"):
        make_sampling({"draws": wrong})
    assert make_sampling({"draws": 3}) == Sampling(draws=3)


@pytest.mark.parametrize("rare", [0.01, 0.05, 0.1, 0.2])
def test_equal_samples_bound_the_error(rare):
    """A number that is rarely 1: if it was always 0, its sample variance is 0, and its mean is wrong."""
    rng, covered, equal = np.random.RandomState(0), [], 0
    for _ in range(1000):
        running = RunningMean(2)
        running.add(np.stack([rng.rand(20) < rare, rng.rand(20) < 0.5], axis=1).astype(float))
        covered.append(abs(running.mean[0] - rare) <= 2 * running.standard_errors[0])
        equal += running.mean[0] == 0
    assert equal > 5
    assert np.mean(covered) > 0.86


def test_the_bound_is_the_rule_of_three_in_the_range_of_all_samples():
    running = RunningMean(3)
    running.add(np.array([[2.0, -1.0, 0.5]] * 50 + [[2.0, 4.0, 0.5]] * 50))
    p = 1 - (1 - CONFIDENCE) ** (1 / 100)
    assert p == pytest.approx(3 / 100, rel=0.02)
    bound = 5 * np.sqrt(p * (1 - p) / 100)
    np.testing.assert_allclose(running.standard_errors[[0, 2]], bound)
    assert running.standard_errors[1] == pytest.approx(2.5 / np.sqrt(99))
    nothing = RunningMean(3)
    nothing.add(np.zeros((5, 3)))
    assert nothing.standard_errors.tolist() == [0, 0, 0]


def test_sampling_does_not_stop_at_errors_of_zero():
    """One of 20 players is worth something only if it comes last, which ten permutations often do not show."""
    values = np.full(20, 1 + 1 / 20)
    values[0] = 1 / 20

    def game(coalition):
        return len(set(coalition.tolist()) - {0}) + float(len(coalition) == 20)

    for seed in range(20):
        estimate = shapley_values(many(game), 20, Stopping(standard_error=0.1), np.random.RandomState(seed))
        assert estimate.permutations > Stopping.MINIMUM
        assert 0 < estimate.standard_errors.min() <= estimate.standard_errors.max() <= 0.1
        assert (np.abs(estimate.values - values) <= 2.5 * estimate.standard_errors).mean() > 0.8
