"""CHG and Hardness Shapley values against enumeration and the axioms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from games import shapley_by_definition
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluators.chg_shapley import chg_shapley_values
from evaluators.hardness_shapley import hardness_shapley_values

numbers = st.floats(-10, 10, allow_subnormal=False)


def features(low=1, high=6):
    return st.tuples(st.integers(low, high), st.integers(1, 4)).flatmap(
        lambda s: arrays(np.float64, s, elements=numbers)
    )


def chg_utility(x, a):
    def utility(coalition):
        if len(coalition) == 0:
            return 0.0
        return float(a @ a - np.sum((a - x[coalition].mean(axis=0)) ** 2))

    return utility


@settings(max_examples=60, deadline=None)
@given(features())
def test_chg_values_are_the_shapley_values_of_its_utility(x):
    expected = shapley_by_definition(chg_utility(x, x.mean(axis=0)), len(x))
    np.testing.assert_allclose(chg_shapley_values(x), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(features(), arrays(np.float64, 4, elements=numbers))
def test_chg_values_for_any_target(x, target):
    a = target[: x.shape[1]]
    expected = shapley_by_definition(chg_utility(x, a), len(x))
    np.testing.assert_allclose(chg_shapley_values(x, a), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 8), elements=numbers))
def test_hardness_values_are_the_shapley_values_of_the_mean_loss(losses):
    expected = shapley_by_definition(lambda s: float(losses[s].mean()) if len(s) else 0.0, len(losses))
    np.testing.assert_allclose(hardness_shapley_values(losses), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(features(1, 60))
def test_efficiency(x):
    a = x.mean(axis=0)
    assert chg_shapley_values(x).sum() == pytest.approx(a @ a, abs=1e-8)
    assert hardness_shapley_values(x[:, 0]).sum() == pytest.approx(a[0], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(features(1, 20), st.randoms(use_true_random=False))
def test_symmetry(x, random):
    """Players with equal features get equal values, and renaming players renames values."""
    order = list(range(len(x)))
    random.shuffle(order)
    np.testing.assert_allclose(chg_shapley_values(x[order]), chg_shapley_values(x)[order], atol=1e-9)
    twins = np.vstack([x, x[:1]])
    values = chg_shapley_values(twins)
    assert values[0] == pytest.approx(values[-1], abs=1e-9)
    hardness = hardness_shapley_values(twins[:, 0])
    assert hardness[0] == pytest.approx(hardness[-1], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(features(1, 12), arrays(np.float64, 4, elements=numbers), numbers)
def test_linearity(x, target, factor):
    """U is quadratic in the features, and linear in orthogonal blocks of them: values add up over columns."""
    a = target[: x.shape[1]]
    by_column = sum(chg_shapley_values(x[:, [j]], a[[j]]) for j in range(x.shape[1]))
    np.testing.assert_allclose(chg_shapley_values(x, a), by_column, atol=1e-8)
    np.testing.assert_allclose(
        chg_shapley_values(factor * x, factor * a), factor**2 * chg_shapley_values(x, a), atol=1e-6
    )
    losses, more = x[:, 0], np.arange(len(x), dtype=float)
    both = hardness_shapley_values(losses + factor * more)
    np.testing.assert_allclose(
        both, hardness_shapley_values(losses) + factor * hardness_shapley_values(more), atol=1e-8
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12))
def test_dummy(n):
    """Where nobody contributes, nobody has a value; and a game whose only worth is one player's gives it all."""
    assert not chg_shapley_values(np.zeros((n, 3))).any()
    assert not hardness_shapley_values(np.zeros(n)).any()
    np.testing.assert_allclose(hardness_shapley_values(np.full(n, 2.0)), 2.0 / n)


@pytest.mark.parametrize("wrong", [np.zeros((0, 3)), np.zeros(3), np.zeros((2, 2, 2))])
def test_shapes_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="shape"):
        chg_shapley_values(wrong)
    with pytest.raises(ValueError, match="shape"):
        chg_shapley_values(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="shape"):
        hardness_shapley_values(np.zeros((0,)))


@pytest.mark.parametrize("n", [2, 3, 1000, 100_000])
def test_many_players(n):
    """Against the closed form with its sums written out."""
    rng = np.random.default_rng(0)
    x, a, k = rng.normal(size=(n, 2)) + 1, rng.normal(size=2), np.arange(1.0, n)
    h1, h2 = (1 / np.arange(1, n + 1)).sum(), (1 / np.arange(1, n + 1) ** 2).sum()
    steps = 1 / (k + 1) ** 2 - 1 / k**2
    c1, cq = (k / (k + 1) ** 2).sum() / (n - 1), (k * steps).sum() / (n - 1)
    cs = (k * (k - 1) * steps).sum() / max(1, (n - 1) * (n - 2))
    s, norms = x.sum(axis=0), (x**2).sum(axis=1)
    others = norms.sum() - norms
    linear = h1 * x @ a - (h1 - 1) / (n - 1) * (s - x) @ a
    pairs = ((s - x) ** 2).sum(axis=1) - others
    quadratic = h2 * norms + 2 * c1 * (x * (s - x)).sum(axis=1) + cq * others + cs * pairs
    expected = (2 * linear - quadratic) / n
    np.testing.assert_allclose(chg_shapley_values(x, a), expected, atol=1e-12 * np.abs(expected).max())


def test_more_players():
    """All 2^14 coalitions of 14 players."""
    n, rng = 14, np.random.default_rng(0)
    x = rng.normal(size=(n, 3)) + 1
    a = rng.normal(size=3)
    inside = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    sizes = inside.sum(axis=1)
    utility = a @ a - ((a - inside @ x / np.maximum(sizes, 1)[:, None]) ** 2).sum(axis=1)
    utility[0] = 0
    weights = np.array([1 / (n * math.comb(n - 1, k)) for k in range(n)])
    for player in (0, 7, 13):
        without = np.flatnonzero(inside[:, player] == 0)
        value = weights[sizes[without]] @ (utility[without | 1 << player] - utility[without])
        assert chg_shapley_values(x, a)[player] == pytest.approx(value, abs=1e-12)
