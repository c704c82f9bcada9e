"""Rank stability by hand."""

from __future__ import annotations

import numpy as np
import pytest
from small_problems import a_problem, never, scored

from dvbench.scoring.contract import Valuation
from dvbench.tasks.rank_stability import rank_stability

VALUES = np.random.default_rng(0).permutation(30).astype(float)


def stability(first, second):
    return scored(
        rank_stability, a_problem(len(first)), Valuation(np.asarray(first), np.asarray(second)), never
    ).metrics


@pytest.mark.parametrize("same", [VALUES, 3 * VALUES - 1, np.exp(VALUES)])
def test_the_same_ranks_agree_whatever_the_scale(same):
    assert stability(VALUES, same) == pytest.approx({"spearman": 1.0, "top_overlap": 1.0, "bottom_overlap": 1.0})


def test_reversed_ranks():
    assert stability(VALUES, -VALUES) == pytest.approx({"spearman": -1.0, "top_overlap": 0.0, "bottom_overlap": 0.0})


def test_correlation_and_overlaps_by_hand():
    first = np.arange(30.0)
    second = first.copy()
    second[[29, 0]] = second[[0, 29]]  # the best and the worst of three change places
    metrics = stability(first, second)
    assert metrics["spearman"] == pytest.approx(1 - 6 * 2 * 29**2 / (30 * (30**2 - 1)))
    assert metrics["top_overlap"] == pytest.approx(2 / 3)
    assert metrics["bottom_overlap"] == pytest.approx(2 / 3)
    second = first.copy()
    second[[29, 28, 15, 14]] = second[[15, 14, 29, 28]]
    metrics = stability(first, second)
    assert metrics["top_overlap"] == pytest.approx(1 / 3)
    assert metrics["bottom_overlap"] == 1.0


def test_few_players_have_one_best():
    metrics = stability([1.0, 2.0, 3.0], [2.0, 1.0, 3.0])
    assert metrics == pytest.approx({"spearman": 0.5, "top_overlap": 1.0, "bottom_overlap": 0.0})


@pytest.mark.parametrize(("first", "second"), [(VALUES, 0 * VALUES), (0 * VALUES, VALUES), (0 * VALUES, 0 * VALUES)])
def test_constant_values_have_no_ranks_to_agree_on(first, second):
    assert stability(first, second)["spearman"] == 0.0


def test_constant_values_overlap_by_chance_only():
    metrics = stability(np.zeros(1000), np.zeros(1000))
    assert metrics["top_overlap"] < 0.3
    assert metrics["bottom_overlap"] < 0.3


def test_the_same_scores_every_time():
    tied = np.round(VALUES / 10)
    assert stability(tied, tied[::-1]) == stability(tied, tied[::-1])


def test_a_second_valuation_is_needed():
    with pytest.raises(ValueError, match="second valuation"):
        scored(rank_stability, a_problem(30), Valuation(VALUES), never)
