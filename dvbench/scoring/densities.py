"""Kernel densities of several samples on one grid, as means over the cells of the grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import count

import numpy as np
from scipy.special import ndtr

NARROWEST = 1e-3  # standard deviation of the narrowest kernel: equal numbers have no bandwidth
TAIL = 6.0  # bandwidths that the grid extends beyond the extreme numbers of a sample: less than 1e-9 lies outside


def bandwidth(sample: np.ndarray) -> float:
    """Return the standard deviation of the Gaussian kernels of a sample by Scott's rule, but at least `NARROWEST`."""
    deviation = float(sample.std(ddof=1)) if len(sample) > 1 else 0.0
    scott: float = deviation * len(sample) ** -0.2
    return max(scott, NARROWEST)


def cell_densities(samples: Mapping[str, np.ndarray], cells: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Estimate the density of each sample by Gaussian kernels, and average it over every cell of a common grid.

    A kernel can be narrower than a cell. The density at the middle of a cell could then miss a peak, or show its height
    only. The mean over the cell is the probability of the cell divided by its width, so every curve integrates to 1.

    Parameters
    ----------
    samples : mapping of str to numpy.ndarray of shape (n,)
        Finite numbers; n may differ.
    cells : int
        Number of cells of the grid, more than ten, which are of equal width. The grid extends six bandwidths beyond the
        numbers of each sample, so that less than 1e-9 of a density lies outside; this is left out.

    Returns
    -------
    centres : numpy.ndarray of shape (cells,)
        The middle of each cell.
    densities : dict of str to numpy.ndarray of shape (cells,)
        The mean density of each sample in each cell; times the width of a cell they add up to 1.
    """
    widths = {name: bandwidth(sample) for name, sample in samples.items()}
    low = min(float(sample.min()) - TAIL * widths[name] for name, sample in samples.items())
    high = max(float(sample.max()) + TAIL * widths[name] for name, sample in samples.items())
    edges = _edges(low, high, cells)
    means = {
        name: np.diff([ndtr((edge - sample) / widths[name]).mean() for edge in edges]) / np.diff(edges)
        for name, sample in samples.items()
    }
    return (edges[:-1] + edges[1:]) / 2, means


def _edges(low: float, high: float, cells: int) -> np.ndarray:
    """Return the edges of a grid over an interval.

    The width of a cell is 1, 2 or 5 times a power of ten, and the first edge a multiple of ten widths. So the grid
    hardly ever changes if the lowest or the highest number does, which on another processor differ by more than
    rounding: the smallest losses have the largest relative errors.
    """
    power = math.floor(math.log10((high - low) / cells))
    widths = (factor * 10.0**exponent for exponent in count(power) for factor in (1, 2, 5))
    grids = ((math.floor(low / (10 * width)) * 10, width) for width in widths)
    start, width = next((start, width) for start, width in grids if (start + cells) * width >= high)
    return np.arange(start, start + cells + 1) * width
