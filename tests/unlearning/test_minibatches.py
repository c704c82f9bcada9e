"""Minibatches of unlearning: a function of the set to forget, uniform, and similar for similar sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_loops import drawn_rows
from scipy.stats import chisquare

from dvbench.execution.limits import Limits, enforced
from dvbench.unlearning.minibatches import Minibatches

N = 40


def drawn(members, steps=50, batch_size=40, n=N, seed=0):
    """Minibatches of one forget set, and of the validation set, in all steps."""
    pieces = list(Minibatches(steps, batch_size, n, 7, seed).pieces([members]))
    return torch.cat([forget[:, 0] for forget, _ in pieces]), torch.cat([validation for _, validation in pieces])


@pytest.mark.parametrize("size", [1, 2, 5, 20, N])
def test_they_are_the_first_candidates_of_the_set_in_any_order(size):
    rng = np.random.RandomState(size)
    members = rng.permutation(N)[:size]
    expected, validation = drawn_rows(members, N, 7, 50, 40, 3)
    for _ in range(3):
        forget, others = drawn(rng.permutation(members), seed=3)
        assert torch.equal(forget, expected)
        assert torch.equal(others, validation)


@pytest.mark.parametrize("places", [1, 40, 41, 160, 1999, 2000])
def test_the_steps_that_are_drawn_together_do_not_change_them(places, monkeypatch):
    sets = [np.arange(3), np.arange(5, N)]
    (whole,) = Minibatches(50, 40, N, 7, 3).pieces(sets)
    monkeypatch.setattr("dvbench.unlearning.minibatches.PLACES", places)
    pieces = list(Minibatches(50, 40, N, 7, 3).pieces(sets))
    assert len(pieces) == -(-50 // max(1, places // 40))
    for number in (0, 1):
        assert torch.equal(torch.cat([piece[number] for piece in pieces]), whole[number])


def test_memory_does_not_grow_with_the_steps():
    """A million steps of which few are taken: drawn at once, their candidates would take 8 GB."""
    with enforced(Limits(memory=200 * 2**20)):
        pieces = Minibatches(10**6, 32, N, 7, 0).pieces([np.arange(3)])
        forget, validation = next(pieces)
    assert forget.shape == (1024, 1, 32)
    assert validation.shape == (1024, 32)


@pytest.mark.parametrize("size", [2, 5, 20, N])
@pytest.mark.parametrize("n", [N, 5000])
def test_every_member_is_equally_likely(size, n):
    """Also where most places have no candidate, in sets that are a small part of the data."""
    members = np.random.RandomState(0).permutation(n)[:size]
    counts = np.bincount(drawn(members, n=n)[0].flatten().numpy(), minlength=n)
    assert counts.sum() == counts[members].sum() == 2000
    assert chisquare(counts[members]).pvalue > 1e-3


@pytest.mark.parametrize("size", [5, 10, 20, 39])
def test_one_more_member_changes_its_share(size):
    order = np.random.RandomState(1).permutation(N)
    less, more = (drawn(order[:count], steps=200)[0] for count in (size, size + 1))
    changed = less != more
    assert (more[changed] == order[size]).float().mean() > 0.9  # the others had no candidate
    assert changed.double().mean().item() == pytest.approx(1 / (size + 1), rel=0.2)


@pytest.mark.parametrize("wrong", [np.array([N]), np.array([-1]), np.array([0.5]), np.array([[1]])])
def test_what_is_no_set_of_points_is_refused(wrong):
    with pytest.raises(ValueError, match="a coalition is an array of whole numbers from 0 to 39"):
        drawn(wrong)
