"""Minibatches of unlearning: a function of the set to forget, uniform, and similar for similar sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_loops import drawn_rows
from scipy.stats import chisquare

from dvbench.unlearning.minibatches import Minibatches

N = 40


def minibatches(steps=50, batch_size=40, n=N, seed=0):
    return Minibatches(steps, batch_size, n, 7, seed)


@pytest.mark.parametrize("size", [1, 2, 5, 20, N])
def test_they_are_the_first_candidates_of_the_set_in_any_order(size):
    rng = np.random.RandomState(size)
    members = rng.permutation(N)[:size]
    drawn = minibatches(seed=3)
    expected, validation = drawn_rows(members, N, 7, 50, 40, 3)
    for _ in range(3):
        assert torch.equal(drawn.forget(rng.permutation(members)), expected)
    assert torch.equal(drawn.validation, validation)


@pytest.mark.parametrize("size", [2, 5, 20, N])
@pytest.mark.parametrize("n", [N, 5000])
def test_every_member_is_equally_likely(size, n):
    """Also where most places have no candidate, in sets that are a small part of the data."""
    members = np.random.RandomState(0).permutation(n)[:size]
    counts = np.bincount(minibatches(n=n).forget(members).flatten().numpy(), minlength=n)
    assert counts.sum() == counts[members].sum() == 2000
    assert chisquare(counts[members]).pvalue > 1e-3


@pytest.mark.parametrize("size", [5, 10, 20, 39])
def test_one_more_member_changes_its_share(size):
    order = np.random.RandomState(1).permutation(N)
    drawn = minibatches(steps=200)
    less, more = drawn.forget(order[:size]), drawn.forget(order[: size + 1])
    changed = less != more
    assert (more[changed] == order[size]).float().mean() > 0.9  # the others had no candidate
    assert changed.double().mean().item() == pytest.approx(1 / (size + 1), rel=0.2)


@pytest.mark.parametrize("wrong", [np.array([N]), np.array([-1]), np.array([0.5]), np.array([[1]])])
def test_what_is_no_set_of_points_is_refused(wrong):
    with pytest.raises(ValueError, match="a coalition is an array of whole numbers from 0 to 39"):
        minibatches().forget(wrong)
