"""Short forms of noise and players are said in words."""

from __future__ import annotations

import pytest

from dvbench.settings import Groups, Noise
from leaderboard.wording import noise_in_words, players_in_words


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (Noise(), "no noise"),
        (Noise(kind="labels", rate=0.2), "20% labels flipped"),
        (Noise(kind="labels", rate=0.2, draw="next"), "20% labels flipped, to the next class, in every second class"),
        (Noise(kind="labels", rate=0.1, validation=True), "10% labels flipped, also for validation"),
        (Noise(kind="features", rate=0.2, sigma=2), "20% features disturbed, with 2 standard deviations"),
        ("imbalance0.3x0.1", "30% of the classes with 10% of their points"),
        ("labels0.2-imbalance0.3x0.1", "20% labels flipped, 30% of the classes with 10% of their points"),
        ("something else", "something else"),
    ],
)
def test_noise_is_said_in_words(noise, words):
    assert noise_in_words(str(noise)) == words


@pytest.mark.parametrize(
    ("players", "words"),
    [
        (Groups(by="random", count=30), "30 subsets"),
        (Groups(by="random", count=50, sizes="unequal"), "50 subsets of unequal sizes"),
        (Groups(by="column", column="hour"), "groups by the column hour"),
        (Groups(by="classes"), "classes"),
        ("points", "points"),
    ],
)
def test_players_are_said_in_words(players, words):
    assert players_in_words(str(players)) == words
