"""Spearman's correlation with exact p-values of few pairs: against brute force and scipy's own enumeration."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import permutation_test, spearmanr

from dvbench.scoring.correlation import rank_correlation

small = st.integers(3, 7).flatmap(
    lambda n: st.tuples(*(arrays(np.float64, n, elements=st.integers(0, n).map(float)) for _ in range(2)))
)


def by_brute_force(values, reference):
    """Share of orders whose correlation is at least as strong."""
    actual = abs(spearmanr(values, reference).statistic)
    orders = [abs(spearmanr(order, reference).statistic) for order in permutations(values)]
    return np.mean(np.array(orders) >= actual - 1e-9)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [2, 100])  # with ties, and without
def test_p_values_of_few_pairs_are_shares_of_orders(n, seed, levels):
    rng = np.random.default_rng([n, seed, levels])
    values, reference = (np.concatenate([[0, levels], rng.integers(0, levels, n - 2)]) for _ in range(2))
    statistic, p = rank_correlation(values, reference)
    assert statistic == pytest.approx(spearmanr(values, reference).statistic)
    assert p == pytest.approx(by_brute_force(values, reference))


@settings(max_examples=25, deadline=None)
@given(small)
def test_p_values_of_few_pairs_are_those_of_scipys_permutation_test(pairs):
    values, reference = pairs
    if np.ptp(values) == 0 or np.ptp(reference) == 0:
        assert rank_correlation(values, reference) == (0.0, 1.0)
        return
    from scipy.stats import rankdata

    ranks, others = rankdata(values), rankdata(reference)
    centred = others - others.mean()
    exact = permutation_test(
        (ranks,),
        lambda order, axis: np.round(np.tensordot(order - ranks.mean(), centred, axes=(axis, 0)), 9),
        permutation_type="pairings",
        n_resamples=np.inf,
        vectorized=True,
    )
    statistic, p = rank_correlation(values, reference)
    # Ranks that tie lead to skewed distributions, where scipy doubles the smaller tail; here both tails are counted.
    products = np.abs(exact.null_distribution)
    assert p == pytest.approx((products >= abs(exact.statistic) - 1e-9).mean())
    assert statistic == pytest.approx(spearmanr(values, reference).statistic)
    if len(set(values)) == len(values) == len(set(reference)):
        assert p == pytest.approx(min(1.0, exact.pvalue))


@pytest.mark.parametrize(("n", "least"), [(3, 1 / 3), (4, 1 / 12), (5, 1 / 60), (6, 1 / 360), (7, 1 / 2520)])
def test_the_least_p_value_is_that_of_the_two_perfect_orders(n, least):
    values = np.arange(n)
    for sign in (1, -1):
        assert rank_correlation(values, sign * np.exp(values)) == (pytest.approx(sign), pytest.approx(least))


def test_known_table():
    """Six pairs with squared differences that sum to 4: Spearman 0.886, p 0.033 in printed tables."""
    statistic, p = rank_correlation(np.arange(6), np.array([1, 0, 3, 2, 4, 5]))
    assert (statistic, p) == (pytest.approx(1 - 24 / 210), pytest.approx(24 / 720))


def test_from_eight_pairs_on_p_values_are_scipys():
    rng = np.random.default_rng(0)
    values, reference = rng.normal(size=(2, 8))
    actual = spearmanr(values, reference)
    assert rank_correlation(values, reference) == (pytest.approx(actual.statistic), pytest.approx(actual.pvalue))


@settings(max_examples=25, deadline=None)
@given(small)
def test_only_the_order_counts_and_both_ways_alike(pairs):
    values, reference = pairs
    statistic, p = rank_correlation(values, reference)
    assert -1 <= statistic <= 1 + 1e-12
    assert 0 < p <= 1
    assert rank_correlation(3 * values + 1, np.exp(reference)) == (pytest.approx(statistic), pytest.approx(p))
    assert rank_correlation(-values, reference) == (pytest.approx(-statistic), pytest.approx(p))
    assert rank_correlation(reference, values) == (pytest.approx(statistic), pytest.approx(p))
