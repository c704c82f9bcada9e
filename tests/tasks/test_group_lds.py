"""The linear datamodeling score of groups, on models whose utility is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_problems import Worths, a_problem, never, scored

from dvbench.errors import UserError
from dvbench.scoring.contract import Valuation
from dvbench.tasks.group_lds import group_lds

WORTH = np.random.default_rng(0).permutation(20).astype(float)


def run(values, worth=None, **problem):
    values = np.asarray(values, dtype=float)
    return scored(
        group_lds, a_problem(len(values), **problem), Valuation(values), Worths(values if worth is None else worth)
    )


def coalitions(n, values=None, **problem):
    retrain = Worths(np.zeros(n))
    scored(group_lds, a_problem(n, **problem), Valuation(np.zeros(n) if values is None else values), retrain)
    assert retrain.calls == 1
    return retrain.asked


def test_worths_predict_and_their_opposites_do_not():
    assert run(WORTH).metrics == pytest.approx({"lds": 1.0, "p_lds": 0.0})
    assert run(-WORTH, WORTH).metrics == pytest.approx({"lds": -1.0, "p_lds": 0.0})


def test_a_hand_computed_score():
    """Pairs are ranked 1 2 4 3 5 6 by values and 1 3 5 2 4 6 by utility: 1 - 6 * 4 / (6 * 35)."""
    outcome = run([1, 2, 4, 8], [2, 1, 4, 8])
    assert outcome.curves == {"summed": [3, 5, 9, 6, 10, 12], "utility": [0.75, 1.5, 2.5, 1.25, 2.25, 3]}
    assert outcome.metrics["lds"] == pytest.approx(1 - 24 / 210)
    # Of six pairs 1, 5 and 6 orders have squared differences of ranks that sum to 0, 2 and 4.
    assert outcome.metrics["p_lds"] == pytest.approx(2 * (1 + 5 + 6) / 720)


@pytest.mark.parametrize(("n", "count"), [(3, 3), (4, 6), (5, 10), (6, 20), (7, 35), (8, 50), (23, 50), (100, 50)])
def test_fifty_distinct_halves_or_all_there_are(n, count):
    asked = coalitions(n)
    assert len(asked) == len(set(asked)) == count
    assert {len(players) for players in asked} == {n // 2}
    assert set().union(*asked) == set(range(n))


def test_players_are_drawn_alike():
    """Each of 20 players is in about 25 of 50 coalitions, each pair in about 12."""
    inside = np.array([[player in players for player in range(20)] for players in coalitions(20)], dtype=int)
    together = inside.T @ inside
    assert together.diagonal().min() > 12
    assert together.diagonal().max() < 38
    assert together.min() > 2


def test_all_evaluators_share_the_coalitions_of_a_problem():
    drawn = coalitions(20)
    assert coalitions(20, WORTH) == drawn
    for change in ({"seed": 1}, {"dataset": "other"}):
        assert set(coalitions(20, **change)) != set(drawn)


@pytest.mark.parametrize(("values", "worth"), [(np.full(20, 0.1), WORTH), (WORTH, np.zeros(20))])
def test_what_is_constant_is_chance(values, worth):
    assert run(values, worth).metrics == {"lds": 0.0, "p_lds": 1.0}


def test_sums_of_the_same_values_tie():
    """Whichever players they are of; added in turn, 0.1 and 0.7 give several sums for one number of each."""
    high = np.arange(20) % 3 == 0
    summed = run(np.where(high, 0.7, 0.1)).curves["summed"]
    assert len(set(summed)) == len({sum(high[list(players)]) for players in coalitions(20)})


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, st.integers(4, 12), elements=st.integers(-50, 50)), st.integers(1, 9), st.integers(-9, 9))
def test_only_the_order_of_sums_counts(values, scale, shift):
    """All coalitions are of one size, so what all values have in common does not matter either."""
    worth = np.random.default_rng(1).normal(size=len(values))
    actual = run(values, worth).metrics
    assert run(scale * values + shift, worth).metrics == pytest.approx(actual)
    assert run(-values, worth).metrics["lds"] == pytest.approx(-actual["lds"])
    assert -1 <= actual["lds"] <= 1
    assert 0 <= actual["p_lds"] <= 1


def test_too_few_players_are_refused_before_anything_is_trained():
    with pytest.raises(UserError, match="2 players are too few: at least 3 are needed"):
        scored(group_lds, a_problem(2), Valuation(np.arange(2.0)), never)
