"""Shapley values within each class, of games that also depend on the players of other classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dvbench.games import AT_ONCE, tabulated_shapley_values
from evaluators.common.coalitions import every_inclusion

ClassWiseGame = Callable[[Sequence[tuple[int, np.ndarray]]], np.ndarray]
"""Utilities of coalitions of players of all classes, each in the game of one class: pairs (class, sorted members)."""


def class_wise_values(
    game: ClassWiseGame, classes: np.ndarray, permutations: int, draws_of_others: int, rng: np.random.RandomState
) -> np.ndarray:
    """Mean Shapley values of the players of a class, over all subsets of the players of other classes.

    Sampled along random permutations of each class, each with random players of other classes. Enumerated instead if
    that takes no more utilities.

    Parameters
    ----------
    game : callable
    classes : numpy.ndarray of int, shape (n,)
        Class of every player.
    permutations : int
        Number of permutations of each class.
    draws_of_others : int
        Number of sets of players of other classes for each permutation. Each player is in a set with probability 1/2,
        so that all sets are equally likely.
    rng : numpy.random.RandomState

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    n, labels = len(classes), np.unique(classes)
    if len(labels) * 2**n <= permutations * draws_of_others * (n + len(labels)):
        return enumerated_values(game, classes)
    values, walks = np.zeros(n), _walks(classes, permutations, draws_of_others, rng)
    at_once = max(1, AT_ONCE * len(walks) // (permutations * draws_of_others * (n + len(labels))))
    for start in range(0, len(walks), at_once):
        batch = walks[start : start + at_once]
        for (_, order, _), gains in zip(batch, _gains(game, batch), strict=True):
            values[order] += gains
    return values / (permutations * draws_of_others)


def enumerated_values(game: ClassWiseGame, classes: np.ndarray) -> np.ndarray:
    """The values that `class_wise_values` estimates, from all coalitions in the games of all classes."""
    values = np.zeros(len(classes))
    for label in np.unique(classes):
        inside, others = np.flatnonzero(classes == label), np.flatnonzero(classes != label)
        order = np.concatenate([inside, others])  # so that a row below has one set of others
        coalitions = [np.sort(order[included]) for included in every_inclusion(len(order))]
        utilities = game([(int(label), members) for members in coalitions]).reshape(-1, 2 ** len(inside))
        values[inside] = tabulated_shapley_values(utilities.mean(axis=0))
    return values


Walk = tuple[int, np.ndarray, np.ndarray]  # a class, a permutation of its players, and players of other classes


def _walks(classes: np.ndarray, permutations: int, draws_of_others: int, rng: np.random.RandomState) -> list[Walk]:
    walks = []
    for _ in range(permutations):
        for label in np.unique(classes):
            order, others = rng.permutation(np.flatnonzero(classes == label)), np.flatnonzero(classes != label)
            for _ in range(draws_of_others):
                walks.append((int(label), order, others[rng.random_sample(len(others)) < 0.5]))
    return walks


def _gains(game: ClassWiseGame, walks: Sequence[Walk]) -> list[np.ndarray]:
    """Marginal contributions along walks, in the order of their permutations."""
    utilities = game(
        [
            (label, np.sort(np.concatenate([order[:size], others])))
            for label, order, others in walks
            for size in range(len(order) + 1)
        ]
    )
    ends = np.cumsum([len(order) + 1 for _, order, _ in walks])
    return [np.diff(along) for along in np.split(utilities, ends[:-1])]
