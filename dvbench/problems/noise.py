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


def grade_labels(
    labels: np.ndarray, rate: float, classes: int, rng: np.random.Generator, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Replace labels of a fraction of the groups by other classes: the k-th of m groups gets a fraction k/m of them.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (n,)
    rate : float
        Fraction of groups that get wrong labels: exactly ``round(rate * groups)`` of them, and at least 1.
    classes : int
        At least 2.
    rng : numpy.random.Generator
    groups : numpy.ndarray of int, shape (n,)
        Group of each point.

    Returns
    -------
    new_labels : numpy.ndarray of int64, shape (n,)
    chosen : numpy.ndarray of bool, shape (groups,)
        The groups with wrong labels.
    """
    flipped, chosen = flip_labels(labels, rate, classes, rng, groups)
    noisy = rng.permutation(np.flatnonzero(chosen))
    for k, group in enumerate(noisy, start=1):
        members = rng.permutation(np.flatnonzero(groups == group))
        kept = members[max(1, round(k / len(noisy) * len(members))) :]
        flipped[kept] = labels[kept]
    return flipped, chosen


def redraw_labels(
    labels: np.ndarray, rate: float, classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the labels of a fraction of the points from all classes: some get the label that they had.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (n,)
    rate : float
        Fraction of points whose label is drawn: exactly ``round(rate * n)`` of them, and at least 1.
    classes : int
    rng : numpy.random.Generator

    Returns
    -------
    new_labels : numpy.ndarray of int64, shape (n,)
    changed : numpy.ndarray of bool, shape (n,)
        The points whose label is another now.
    """
    _, mask = _choose(len(labels), None, rate, rng)
    drawn = labels.copy()
    drawn[mask] = rng.integers(0, classes, size=mask.sum())
    return drawn, drawn != labels


def shift_labels(
    labels: np.ndarray, rate: float, classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Replace labels of every second class, the first, third and so on, by the class that follows.

    This noise depends on the class, as when two similar classes are confused in one direction. With two classes, only
    points of the first one are flipped.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (n,)
    rate : float
        Fraction of all points to flip: exactly ``round(rate * n)`` of them, and at least 1.
    classes : int
        At least 2.
    rng : numpy.random.Generator

    Returns
    -------
    new_labels : numpy.ndarray of int64, shape (n,)
    chosen : numpy.ndarray of bool, shape (n,)
        The flipped points.

    Raises
    ------
    ValueError
        If these classes have too few points: one point of each stays as it is.
    """
    open_to_change = (labels % 2 == 0) & (labels + 1 < classes)
    for label in range(0, classes - 1, 2):
        open_to_change[np.flatnonzero(open_to_change & (labels == label))[:1]] = False
    candidates, count = np.flatnonzero(open_to_change), max(1, round(rate * len(labels)))
    if count > len(candidates):
        raise ValueError(
            f"only {len(candidates)} points are in every second class, and a rate of {rate:g} needs {count}: lower it"
        )
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[rng.permutation(candidates)[:count]] = True
    return np.where(chosen, labels + 1, labels), chosen


def thin_classes(labels: np.ndarray, classes: float, keep: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the points that are left when some classes are made rare.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (n,)
    classes : float
        Fraction of the classes that become rare: ``round(classes * number)`` of them, and at least 1.
    keep : float
        Fraction of the points of such a class that is kept, rounded; at least one point.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of int, shape (k,)
        Positions of the points that are left, ascending.
    """
    present = np.unique(labels)
    left = np.ones(len(labels), dtype=bool)
    for label in rng.permutation(present)[: max(1, round(classes * len(present)))]:
        members = rng.permutation(np.flatnonzero(labels == label))
        left[members[max(1, round(keep * len(members))) :]] = False
    return np.flatnonzero(left)


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
