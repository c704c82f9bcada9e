"""The noise a benchmark injects: flipped labels and disturbed features. Pure functions; inputs are never changed.

Points are chosen as a prefix of a random order, so with generators in the same state the points disturbed at a low rate
are among those disturbed at a higher one.
"""

from __future__ import annotations

import numpy as np


def flip_labels(
    labels: np.ndarray, rate: float, classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Give a share of points another label, uniform over the other classes.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (n,)
        Class numbers below ``classes``.
    rate : float
        Share of points to flip: exactly ``round(rate * n)`` of them, and at least 1.
    classes : int
        Number of classes, at least 2.
    rng : numpy.random.Generator

    Returns
    -------
    new_labels : numpy.ndarray of int64, shape (n,)
    mask : numpy.ndarray of bool, shape (n,)
        The flipped points.

    Raises
    ------
    ValueError
        If there is no other class.
    """
    if classes < 2:
        raise ValueError("there is no other class to flip labels to")
    mask = _choose(len(labels), rate, rng)
    flipped = labels.copy()
    flipped[mask] = (labels[mask] + rng.integers(1, classes, size=mask.sum())) % classes
    return flipped, mask


def disturb_features(
    x: np.ndarray, rate: float, sigma: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Add Gaussian noise to every feature of a share of points.

    Parameters
    ----------
    x : numpy.ndarray of shape (n, ...)
        Features, floating point.
    rate : float
        Share of points to disturb: exactly ``round(rate * n)`` of them, and at least 1.
    sigma : float
        Standard deviation of the noise, in units of ``x``.
    rng : numpy.random.Generator

    Returns
    -------
    new_x : numpy.ndarray of shape (n, ...)
        Of the type of ``x``.
    mask : numpy.ndarray of bool, shape (n,)
        The disturbed points.
    """
    mask = _choose(len(x), rate, rng)
    disturbed = x.copy()
    disturbed[mask] += rng.normal(0.0, sigma, size=(mask.sum(), *x.shape[1:])).astype(x.dtype)
    return disturbed, mask


def _choose(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[rng.permutation(n)[: max(1, round(rate * n))]] = True
    return mask
