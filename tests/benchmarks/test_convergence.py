"""The study of convergence: what samplers are compared with is what they estimate, and enough utilities reach it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from convergence import exact_values, figure, own_values, summarised

N = 6


@pytest.fixture(scope="module")
def game() -> np.ndarray:
    """Not additive, and each player matters."""
    rng = np.random.default_rng(0)
    return rng.random(2**N) + (np.arange(2**N)[:, None] >> np.arange(N) & 1) @ rng.random(N)


def test_enumerating_evaluators_have_the_values_that_they_are_compared_with(game: np.ndarray) -> None:
    """With a large budget each evaluator enumerates; its tests compare that with brute force."""
    exact = exact_values(game)
    found = {name: (kind, values) for _, name, kind, _, values in own_values(game, N, 4 * 2**N, 0)}
    assert {kind for kind, _ in found.values()} == set(exact)
    for kind, values in found.values():
        np.testing.assert_allclose(values, exact[kind], atol=1e-9)


def test_values_of_a_symmetric_game_are_equal_and_sum_to_the_difference() -> None:
    sizes = np.bitwise_count(np.arange(2**N)).astype(float)
    values = exact_values(np.sqrt(sizes))["shapley"]
    assert len(set(values.tolist())) == 1
    assert values.sum() == pytest.approx(np.sqrt(N))


def test_more_utilities_have_smaller_errors(game: np.ndarray) -> None:
    exact = exact_values(game)
    errors: dict[tuple[str, int], list[float]] = {}
    for seed in range(10):
        for budget in (12, 48):
            for _, name, kind, asked, values in own_values(game, N, budget, seed):
                assert asked <= budget + N
                errors.setdefault((name, budget), []).append(float(np.abs(values - exact[kind]).mean()))
    for name in {name for name, _ in errors}:
        assert np.mean(errors[name, 48]) < np.mean(errors[name, 12])


def test_a_figure_has_every_sampler(game: np.ndarray) -> None:
    import pandas as pd

    exact, rows = exact_values(game), []
    for budget in (12, 24):
        for library, sampler, kind, asked, values in own_values(game, N, budget, 0):
            error = float(np.abs(values - exact[kind]).mean())
            line = {"table": "t", "library": library, "sampler": sampler, "values": kind, "budget": budget}
            rows.append(line | {"utilities": asked, "error": error, "spearman": 1.0})
    drawn = figure(summarised(pd.DataFrame(rows)), "all").decode()
    assert all(f"dvbench {row['sampler']}" in drawn for row in rows)
