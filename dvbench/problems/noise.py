"""The noise a benchmark injects: flipped labels and disturbed features. Pure functions; inputs are never changed.

Points are chosen as a prefix of a random order, so with generators in the same state the points disturbed at a low rate
are among those disturbed at a higher one.
"""

from __future__ import annotations

import numpy as np


def flip_labels(
    labels: np.ndarray, rate: float, classes: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Give a share of players another label, uniform over the other classes: of points, or of groups as wholes.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (n,)
        Class numbers below ``classes``.
    rate : float
        Share of players to flip: exactly ``round(rate * players)`` of them, and at least 1.
    classes : int
        Number of classes, at least 2.
    rng : numpy.random.Generator
    groups : numpy.ndarray of int, shape (n,), optional
        Which player each point belongs to; by default each is one.

    Returns
    -------
    new_labels : numpy.ndarray of int64, shape (n,)
    chosen : numpy.ndarray of bool, shape (players,)
        The flipped players.

    Raises
    ------
    ValueError
        If there is no other class.
    """
    if classes < 2:
        raise ValueError("there is no other class to flip labels to")
    chosen, mask = _choose(len(labels), groups, rate, rng)
    flipped = labels.copy()
    flipped[mask] = (labels[mask] + rng.integers(1, classes, size=mask.sum())) % classes
    return flipped, chosen


def disturb_features(
    x: np.ndarray, rate: float, sigma: float, rng: np.random.Generator, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Add Gaussian noise to every feature of a share of players: of points, or of groups as wholes.

    Parameters
    ----------
    x : numpy.ndarray of shape (n, ...)
        Features, floating point.
    rate : float
        Share of players to disturb: exactly ``round(rate * players)`` of them, and at least 1.
    sigma : float
        Standard deviation of the noise, in units of ``x``.
    rng : numpy.random.Generator
    groups : numpy.ndarray of int, shape (n,), optional
        As in `flip_labels`.

    Returns
    -------
    new_x : numpy.ndarray of shape (n, ...)
        Of the type of ``x``.
    chosen : numpy.ndarray of bool, shape (players,)
        The disturbed players.
    """
    chosen, mask = _choose(len(x), groups, rate, rng)
    disturbed = x.copy()
    disturbed[mask] += rng.normal(0.0, sigma, size=(mask.sum(), *x.shape[1:])).astype(x.dtype)
    return disturbed, chosen


def _choose(n: int, groups: np.ndarray | None, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the players chosen, and of their points."""
    players = n if groups is None else int(groups.max()) + 1
    chosen = np.zeros(players, dtype=bool)
    chosen[rng.permutation(players)[: max(1, round(rate * players))]] = True
    return chosen, chosen if groups is None else chosen[groups]
