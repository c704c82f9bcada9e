"""What is told of the progress of computations inside others."""

from __future__ import annotations

import numpy as np
import pytest

from dvbench import console
from dvbench.games import shapley_values
from dvbench.progress import advance, listening, part
from dvbench.sampling import Stopping
from evaluators.common.sampling import PermutationSampler


def test_parts_of_parts_are_told_as_parts_of_the_whole():
    told = []
    with listening(told.append):
        for number in range(2):
            with part(number, number + 1, 4):
                advance(1, 2)
        advance(3, 4)
    advance(1, 1)  # nobody listens any more
    assert told == [0.125, 0.25, 0.375, 0.5, 0.75]


def test_without_a_listener_nothing_is_told():
    with part(0, 1, 2):
        advance(1, 2)


def test_permutations_are_told():
    """Of nine players, 16 permutations are computed together."""
    told = []
    sampler = PermutationSampler(32, random_state=0)
    sampler.set_evaluator(lambda coalition: float(len(coalition)))
    with listening(told.append):
        sampler.set_coalition(np.zeros((9, 1))).compute_marginal_contribution()
    assert told == pytest.approx([0.5, 1.0])
    told.clear()
    with listening(told.append):
        shapley_values(lambda sets: np.array([len(each) for each in sets]), 9, Stopping(4), np.random.RandomState(0))
    assert told == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_lines_within_a_part_are_not_many(monkeypatch):
    said = []
    monkeypatch.setattr(console, "say", said.append)
    with console.counting("fold") as observe:
        for done, seconds in ((0, 0.0), (0.25, 4.0), (0.5, 12.0), (0.75, 18.0), (1, 24.0), (1.5, 36.0), (2, 48.0)):
            observe(done, 2, seconds)
    assert said == [
        "fold 1 of 2: 0 s elapsed, time left not known yet",
        "fold 1 of 2, 50%: 12 s elapsed, about 36 s left",
        "fold 2 of 2: 24 s elapsed, about 24 s left",
        "fold 2 of 2, 50%: 36 s elapsed, about 12 s left",
    ]


def test_parts_of_less_than_a_second_have_no_line_of_their_own(monkeypatch):
    said = []
    monkeypatch.setattr(console, "say", said.append)
    with console.counting("fold") as observe:
        for done, seconds in enumerate((0.0, 0.4, 0.8, 1.2, 1.6)):
            observe(done, 5, seconds)
    assert said == [
        "fold 1 of 5: 0 s elapsed, time left not known yet",
        "fold 4 of 5: 1 s elapsed, about 1 s left",
    ]
