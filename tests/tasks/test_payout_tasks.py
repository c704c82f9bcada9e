"""Replication and symmetry by hand, and on games whose values are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_problems import a_problem

from dvbench.errors import UserError
from dvbench.games import tabulated_shapley_values
from dvbench.problems.variants import VARIANTS, provider
from dvbench.scoring.contract import Valuation
from dvbench.tasks.replication import replication
from dvbench.tasks.symmetry import symmetry

PLAYERS = 6


def problem_of(seed=0):
    return replace(a_problem(36, seed=seed), groups=np.arange(36) % PLAYERS, corrupted=np.zeros(PLAYERS, dtype=bool))


PROBLEM = problem_of()
NUMBER = provider(PROBLEM)


def metrics(task, values, copied, split, problem=PROBLEM):
    valuation = Valuation(np.asarray(values), variants={"copied": np.asarray(copied), "split": np.asarray(split)})
    return task(problem, valuation, np.empty(0)).metrics


def shapley(problem, worth):
    """Exact Shapley values of the players, where ``worth`` maps an array of points to a utility."""
    n = problem.players
    utilities = [worth(problem.points_of(np.flatnonzero(mask >> np.arange(n) & 1))) for mask in range(2**n)]
    return tabulated_shapley_values(np.array(utilities, dtype=float))


def of_game(task, worth, values=shapley):
    """Metrics of a method that computes values exactly: ``worth`` gets the features of the points of a coalition."""
    valued = {
        name: values(changed, lambda points, changed=changed: worth(changed.train.x[points].numpy()))
        for name, changed in (
            ("values", PROBLEM),
            ("copied", VARIANTS["copied"].change(PROBLEM)),
            ("split", VARIANTS["split"].change(PROBLEM)),
        )
    }
    return metrics(task, **valued)


def distinct(x):
    """A utility that copies add nothing to: the number of different points."""
    return len(np.unique(x, axis=0))


def leave_one_out(problem, worth):
    everything = np.arange(problem.players)
    return np.array(
        [
            worth(problem.points_of(everything)) - worth(problem.points_of(np.delete(everything, player)))
            for player in everything
        ]
    )


def test_gains_by_hand():
    values = np.full(PLAYERS, 2.0)
    copied, split = np.full(PLAYERS + 1, 2.0), np.full(PLAYERS + 1, 2.0)
    copied[NUMBER], copied[-1] = 1.5, 1.0
    split[NUMBER], split[-1] = 0.5, 0.5
    assert metrics(replication, values, copied, split) == {"gain": 0.25, "copy_gain": 0.25, "split_gain": -0.5}
    copied[-1] = 0.0
    assert metrics(replication, values, copied, split)["gain"] == 0


def test_an_additive_game_pays_twice_for_a_copy_and_nothing_for_a_split():
    assert of_game(replication, len) == pytest.approx({"gain": 1.0, "copy_gain": 1.0, "split_gain": 0.0}, abs=1e-12)


def test_a_game_that_copies_add_nothing_to_pays_nothing_for_a_copy():
    assert of_game(replication, distinct) == pytest.approx(
        {"gain": 0.0, "copy_gain": 0.0, "split_gain": 0.0}, abs=1e-12
    )


def test_a_shapley_value_pays_for_a_second_name_where_any_provider_is_enough():
    # Any provider alone reaches the utility, so payouts are shares of it by the number of names: 1/6, then 2/7.
    found = of_game(replication, lambda x: float(len(x) > 0))
    assert found["copy_gain"] == found["split_gain"] == pytest.approx(6 * (2 / 7 - 1 / 6))


def test_leave_one_out_takes_the_payout_of_a_copied_provider():
    assert of_game(replication, distinct, leave_one_out)["copy_gain"] == pytest.approx(-1.0)


def test_values_of_zero_pay_nobody():
    with pytest.raises(UserError, match="nobody is paid"):
        metrics(replication, np.zeros(PLAYERS), np.zeros(PLAYERS + 1), np.zeros(PLAYERS + 1))


def test_exact_values_pay_copies_equally():
    found = of_game(symmetry, lambda x: float(np.abs(x.sum(axis=0)).max(initial=0.0)))
    assert found["gap"] == pytest.approx(0, abs=1e-6)  # sums of float32
    assert found["gap_halves"] > 0


def test_gaps_by_hand():
    copied = np.zeros(PLAYERS + 1)
    copied[NUMBER] = 7.0  # differs from the 6 others: 12 of 42 ordered pairs have the difference 7
    found = metrics(symmetry, np.arange(PLAYERS), copied, np.zeros(PLAYERS + 1))
    assert found == pytest.approx({"gap": 7 / 2, "gap_halves": 1.0})  # constant values have the score of chance


def test_independent_values_have_the_scores_of_chance():
    rng, gains, gaps = np.random.default_rng(0), [], []
    for _ in range(2000):
        values = rng.normal(size=PLAYERS), rng.normal(size=PLAYERS + 1), rng.normal(size=PLAYERS + 1)
        gains.append(metrics(replication, *values)["gain"])
        gaps.append(metrics(symmetry, *values)["gap"])
    assert np.mean(gains) == pytest.approx(1.5, abs=0.1)
    assert np.mean(gaps) == pytest.approx(1.0, abs=0.05)
