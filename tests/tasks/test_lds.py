"""LDS by hand: values that predict test losses, and others."""

from __future__ import annotations

import numpy as np
import pytest
from small_problems import a_problem

from dvbench.scoring.coalitions import HALVES
from dvbench.scoring.contract import Valuation
from dvbench.tasks.group_lds import coalitions as group_coalitions
from dvbench.tasks.lds import lds

WORTH = np.random.default_rng(0).normal(size=30)


def outcome(values, problem=None):
    problem = a_problem(len(values)) if problem is None else problem
    valuation = Valuation(np.asarray(values, dtype=float))
    asked = lds.wanted_coalitions(problem, valuation)
    worths = np.array([WORTH[players].sum() for players in asked])
    return lds(problem, valuation, np.array([worths, -worths])), asked


def test_an_oracle_scores_1_and_its_opposite_minus_1():
    assert outcome(WORTH)[0].metrics == pytest.approx({"lds": 1.0, "p_lds": 0.0, "lds_utility": -1.0})
    assert outcome(-WORTH)[0].metrics["lds"] == pytest.approx(-1)
    assert outcome(np.ones(30))[0].metrics["lds"] == 0


def test_random_values_score_0_on_average():
    rng = np.random.default_rng(1)
    assert np.mean([outcome(rng.normal(size=30))[0].metrics["lds"] for _ in range(100)]) == pytest.approx(0, abs=0.1)


def test_a_hundred_distinct_halves_the_first_of_which_are_those_of_group_lds():
    found, asked = outcome(WORTH)
    assert len(asked) == len({tuple(players) for players in asked}) == HALVES == len(found.curves["summed"])
    assert {len(players) for players in asked} == {15}
    groups = group_coalitions(a_problem(30), Valuation(WORTH))
    assert all(np.array_equal(*pair) for pair in zip(groups, asked[: len(groups)], strict=True))
    assert len(outcome(WORTH[:6])[1]) == 20  # of six players there are no more halves
