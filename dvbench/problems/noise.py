"""Noise that is injected into training sets: flipped labels and disturbed features. Inputs are never changed.

The corrupted players are the first ones of a random order. So with generators in the same state, the players that are
corrupted at a low rate are also corrupted at every higher rate.
"""

from __future__ import annotations

import numpy as np


def flip_labels(
    labels: np.ndarray, rate: float, classes: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the labels of a fraction of the players by other classes, drawn uniformly for each point.

    Players are points, or groups whose points are all flipped.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (n,)
        Class numbers below ``classes``.
    rate : float
        Fraction of players to flip: exactly ``round(rate * players)`` of them, and at least 1.
    classes : int
        Number of classes, at least 2.
    rng : numpy.random.Generator
    groups : numpy.ndarray of int, shape (n,), optional
        Player of each point; by default every point is a player.

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
    """Add Gaussian noise to every feature of a fraction of the players.

    Players are points, or groups whose points are all disturbed.

    Parameters
    ----------
    x : numpy.ndarray of shape (n, ...)
        Features, floating point.
    rate : float
        Fraction of players to disturb: exactly ``round(rate * players)`` of them, and at least 1.
    sigma : float
        Standard deviation of the noise, in units of ``x``.
    rng : numpy.random.Generator
    groups : numpy.ndarray of int, shape (n,), optional
        As in `flip_labels`.

    Returns
    -------
    new_x : numpy.ndarray of shape (n, ...)
        Of the same dtype as ``x``.
    chosen : numpy.ndarray of bool, shape (players,)
        The disturbed players.
    """
    chosen, mask = _choose(len(x), groups, rate, rng)
    disturbed = x.copy()
    disturbed[mask] += rng.normal(0.0, sigma, size=(mask.sum(), *x.shape[1:])).astype(x.dtype)
    return disturbed, chosen


def _choose(n: int, groups: np.ndarray | None, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw players; returns the mask of players and the mask of their points."""
    players = n if groups is None else int(groups.max()) + 1
    chosen = np.zeros(players, dtype=bool)
    chosen[rng.permutation(players)[: max(1, round(rate * players))]] = True
    return chosen, chosen if groups is None else chosen[groups]
