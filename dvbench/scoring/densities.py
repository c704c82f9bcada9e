"""Kernel densities of several samples on one grid, as means over the cells of the grid."""

from __future__ import annotations

from collections.abc import Mapping

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
        Number of cells of the grid, which are of equal width. The grid extends six bandwidths beyond the numbers of
        each sample, so that less than 1e-9 of a density lies outside; this is left out.

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
    edges = np.linspace(low, high, cells + 1)
    means = {
        name: np.diff([ndtr((edge - sample) / widths[name]).mean() for edge in edges]) / np.diff(edges)
        for name, sample in samples.items()
    }
    return (edges[:-1] + edges[1:]) / 2, means
