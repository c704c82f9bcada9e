"""Evaluators of pyDVL and shapiq on games whose values are known; skipped where these are not installed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import betaln

from dvbench.errors import UserError
from dvbench.games import exact_shapley_values
from dvbench.registry import library_entries
from evaluators.common.rehearsal import Utilities

N = 5
WORTH = np.random.default_rng(0).normal(size=N)
EVALUATORS = library_entries("evaluators")
LIBRARIES = [name for name, entry in EVALUATORS.items() if entry.library in ("pydvl", "shapiq")]
SAMPLERS = (
    "permutation", "antithetic_permutation", "uniform", "antithetic", "stratified", "owen", "antithetic_owen", "msr",
)  # fmt: skip
pytestmark = pytest.mark.slow


def game(coalitions):
    """Additive, but players 0 and 1 help each other, and nobody has a utility of 0.7."""
    return np.array([0.7 + WORTH[list(c)].sum() + 0.5 * (0 in c and 1 in c) for c in coalitions])


def semivalues(weight: Callable[[int], float]) -> np.ndarray:
    """Sum over coalitions S of others of weight(|S|) times the marginal contribution."""
    values = np.zeros(N)
    for player in range(N):
        others = [other for other in range(N) if other != player]
        for size in range(N):
            for coalition in combinations(others, size):
                with_player, without = game([(*coalition, player), coalition])
                values[player] += weight(size) * (with_player - without)
    return values


SHAPLEY = exact_shapley_values(game, N)
BANZHAF = semivalues(lambda size: 2.0 ** (1 - N))
BETA = semivalues(lambda size: np.exp(betaln(size + 1, N - 1 - size + 4) - betaln(4, 1)))  # equation 5 with (4, 1)


def make(name: str, **params):
    entry = EVALUATORS[name]
    pytest.importorskip(entry.library, reason=f"dvbench[{entry.library}] is not installed")
    return entry.load()(random_state=0, **params)


def values_of(evaluator, seed: int = 3) -> np.ndarray:
    return Utilities(game, N).rehearsed(lambda utilities: evaluator.library_values(utilities, seed))


@pytest.mark.parametrize("name", ["kernel_shap", "unbiased_kernel_shap", "svarm", "k_add_shap"])
def test_shapiq_is_exact_with_all_coalitions(name: str) -> None:
    np.testing.assert_allclose(values_of(make(f"shapiq:{name}", utilities=2**N)), SHAPLEY, atol=1e-6)


@pytest.mark.parametrize("name", ["permutation_sampling", "stratified_sampling", "owen_sampling"])
def test_samples_of_shapiq_approach_shapley_values(name: str) -> None:
    """Except player 0's and 1's, contributions are constant, so that errors come from the helping pair alone."""
    values = values_of(make(f"shapiq:{name}", utilities=8000))
    np.testing.assert_allclose(values, SHAPLEY, atol=0.02)
    np.testing.assert_allclose(values[2:], SHAPLEY[2:], atol=1e-9)


def test_banzhaf_values_of_shapiq() -> None:
    np.testing.assert_allclose(values_of(make("shapiq:banzhaf", utilities=2**N)), BANZHAF, atol=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("name", "exact"), [("shapley", SHAPLEY), ("banzhaf", BANZHAF), ("beta_shapley", BETA)])
def test_pydvl_approaches_semivalues_within_its_standard_errors(name: str, sampler: str, exact) -> None:
    evaluator = make(f"pydvl:{name}", sampler=sampler, utilities=1500)
    values = values_of(evaluator)
    assert np.isfinite(evaluator.standard_errors_).all()
    assert (np.abs(values - exact) <= 5 * evaluator.standard_errors_ + 1e-9).all()
    assert evaluator.standard_errors_.max() < 0.5


def test_delta_shapley_is_the_mean_over_some_sizes() -> None:
    evaluator = make("pydvl:delta_shapley", smallest=1, largest=2, utilities=2000)
    exact = semivalues(lambda size: (1 <= size <= 2) / 2 / comb(N - 1, size))
    assert (np.abs(values_of(evaluator) - exact) <= 5 * evaluator.standard_errors_ + 1e-9).all()
    with pytest.raises(UserError, match="no coalitions of 9 to 4 other players"):
        values_of(make("pydvl:delta_shapley", smallest=9))


def test_leave_one_out_of_pydvl() -> None:
    everyone = np.arange(N)
    exact = [game([everyone])[0] - game([np.delete(everyone, i)])[0] for i in everyone]
    np.testing.assert_allclose(values_of(make("pydvl:leave_one_out")), exact, atol=1e-12)


def test_least_core_of_pydvl_has_the_smallest_deficit() -> None:
    """With all coalitions among the samples: no efficient values leave the worst off coalition a smaller deficit."""
    coalitions = [c for size in range(1, N) for c in combinations(range(N), size)]
    members = np.array([[player in c for player in range(N)] for c in coalitions], dtype=float)
    utilities, (everyone,) = game(coalitions), game([range(N)])
    best = linprog(
        [0] * N + [1], -np.c_[members, np.ones(len(members))], -utilities, [[1] * N + [0]], everyone,
        bounds=[(None, None)] * (N + 1),
    )  # fmt: skip
    values = values_of(make("pydvl:least_core", utilities=2000))
    assert values.sum() == pytest.approx(everyone, abs=1e-6)
    deficit = (utilities - members @ values).max()
    assert deficit <= max(best.x[-1], 0.7) + 1e-6  # pyDVL also asks this of the empty coalition, which has 0.7


@pytest.mark.parametrize("name", LIBRARIES)
def test_coalitions_are_computed_together_within_the_budget(name: str) -> None:
    params = {} if name == "pydvl:leave_one_out" else {"utilities": 60}
    calls = []

    def counted(coalitions):
        calls.append(len(coalitions))
        return game(coalitions)

    utilities, evaluator = Utilities(counted, N), make(name, **params)
    values = utilities.rehearsed(lambda known: evaluator.library_values(known, 3))
    assert len(calls) == 1
    assert calls[0] <= min(2**N, utilities.asked)
    assert utilities.asked <= 60
    np.testing.assert_array_equal(values, values_of(make(name, **params)))
    drawn = name not in ("pydvl:leave_one_out", "pydvl:least_core")
    assert drawn <= (np.ptp([values_of(make(name, **params), seed) for seed in range(3)], axis=0).max() > 0) or (
        calls[0] == 2**N
    )


@pytest.mark.parametrize("name", LIBRARIES)
def test_values_of_trained_models_and_of_regression(name: str) -> None:
    x = np.random.default_rng(1).normal(size=(18, 3))
    labels, targets = np.where(x[:, 0] > 0, "yes", "no"), x @ [1.0, 2.0, 0.0]
    for y in (labels, targets):
        evaluator = make(name) if name == "pydvl:leave_one_out" else make(name, utilities=80)
        values = evaluator.fit(x[:10], y[:10], x[10:], y[10:], epochs=2, batch_size=8).values_
        assert values.shape == (10,)
        assert np.ptp(values) > 0 or (name == "pydvl:leave_one_out" and y is labels)


@pytest.mark.parametrize("name", [name for name in LIBRARIES if name != "pydvl:leave_one_out"])
def test_wrong_settings_and_too_few_utilities_are_refused(name: str) -> None:
    for wrong in (0, 1, 1.5, "a"):
        with pytest.raises(ValueError, match=r"^utilities is a whole number of at least 2"):
            make(name, utilities=wrong)
    x, y = np.random.default_rng(1).normal(size=(60, 3)), np.arange(60) % 2
    evaluator = make(name, utilities=8)
    with pytest.raises(UserError, match=r"raise utilities$"):
        evaluator.fit(x, y, x, y, epochs=1)
    if hasattr(evaluator, "sampler"):
        with pytest.raises(ValueError, match=r"^sampler is one of permutation, .*, not 'mine'$"):
            make(name, sampler="mine")
