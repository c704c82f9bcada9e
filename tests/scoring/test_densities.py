"""Densities on a grid: they integrate to one, and are means of scipy's kernel density over the cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import gaussian_kde, norm

from dvbench.scoring.densities import NARROWEST, bandwidth, cell_densities

CELLS = 101
RNG = np.random.default_rng(0)
SAMPLES = {
    "wide": RNG.normal(-1.0, 1.5, 400),
    "two peaks": np.concatenate([RNG.normal(-4.0, 0.05, 300), RNG.normal(1.0, 0.3, 200)]),
    "narrow": RNG.normal(0.36, 0.01, 2000),  # a kernel of it is a twentieth of a cell wide
    "few": np.array([-2.0, 0.5, 0.7]),
}


def integral(centres: np.ndarray, curve: np.ndarray) -> float:
    return float(curve.sum() * (centres[1] - centres[0]))


def test_the_narrow_kernels_of_this_test_are_narrower_than_a_cell():
    centres, _ = cell_densities(SAMPLES, CELLS)
    assert bandwidth(SAMPLES["narrow"]) < (centres[1] - centres[0]) / 20 < bandwidth(SAMPLES["wide"])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_density_integrates_to_one(name):
    centres, densities = cell_densities(SAMPLES, CELLS)
    assert len(centres) == len(densities[name]) == CELLS
    assert integral(centres, densities[name]) == pytest.approx(1.0, abs=1e-6)
    assert integral(centres, densities[name]) <= 1.0 + 1e-12


@pytest.mark.parametrize("name", SAMPLES)
def test_densities_are_scipys_averaged_over_each_cell(name):
    centres, densities = cell_densities(SAMPLES, CELLS)
    half, kernel_density = (centres[1] - centres[0]) / 2, gaussian_kde(SAMPLES[name])
    checked = np.argsort(-densities[name])[:15]
    for cell in [*checked, 0, CELLS // 2, CELLS - 1]:
        low, high = centres[cell] - half, centres[cell] + half
        inside = np.linspace(low, high, 20)[1:-1]
        expected = quad(lambda x: kernel_density(x)[0], low, high, points=inside, limit=200)[0] / (2 * half)
        assert densities[name][cell] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_one_point_of_a_cell_misses_a_narrow_peak():
    """What was wrong with the density at points of the grid: it depends on where the peak lies between them."""
    centres, densities = cell_densities(SAMPLES, CELLS)
    width, kernel_density = centres[1] - centres[0], gaussian_kde(SAMPLES["narrow"])
    at_points = [kernel_density(centres + shift).sum() * width for shift in np.linspace(0, width, 9)]
    assert max(at_points) > 1.5
    assert min(at_points) < 0.5
    assert integral(centres, densities["narrow"]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("equal", [[0.25] * 50, [0.25], [0.25, 0.25 + 1e-12]])
def test_equal_numbers_have_a_narrow_density(equal):
    centres, densities = cell_densities({"equal": np.array(equal), "wide": SAMPLES["wide"]}, CELLS)
    assert integral(centres, densities["equal"]) == pytest.approx(1.0, abs=1e-6)
    assert np.average(centres, weights=densities["equal"]) == pytest.approx(0.25, abs=centres[1] - centres[0])
    alone, curves = cell_densities({"equal": np.array(equal)}, CELLS)
    assert np.average(alone, weights=curves["equal"]) == pytest.approx(0.25, abs=1e-6)
    expected = norm.pdf(alone, 0.25, NARROWEST)
    np.testing.assert_allclose(curves["equal"], expected, atol=0.01 * expected.max())


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.floats(-6, 3), min_size=1, max_size=60), min_size=1, max_size=4), st.sampled_from([11, 101])
)
def test_every_density_integrates_to_one_and_is_not_negative(samples, cells):
    centres, densities = cell_densities({str(k): np.array(sample) for k, sample in enumerate(samples)}, cells)
    for curve in densities.values():
        assert (curve >= 0).all()
        assert integral(centres, curve) == pytest.approx(1.0, abs=1e-6)


def test_rounding_hardly_changes_a_density():
    """Losses on another processor differ in their last digits: the densities of a narrow peak do not."""
    _, densities = cell_densities(SAMPLES, CELLS)
    rounded = {name: sample * (1 + 1e-7 * RNG.choice([-1, 1], len(sample))) for name, sample in SAMPLES.items()}
    _, again = cell_densities(rounded, CELLS)
    for name, curve in densities.items():
        assert np.abs(curve - again[name]).max() < 1e-5 * curve.max()


def test_the_grid_stays_when_the_extreme_numbers_change_a_little():
    """The smallest losses have the largest relative errors; a grid that moved with them would change every density."""
    centres, _ = cell_densities(SAMPLES, CELLS)
    changed = {name: np.where(sample == sample.min(), sample - 1e-3, sample) for name, sample in SAMPLES.items()}
    np.testing.assert_array_equal(cell_densities(changed, CELLS)[0], centres)
    assert centres[0] < min(sample.min() for sample in SAMPLES.values())
    assert centres[-1] > max(sample.max() for sample in SAMPLES.values())
