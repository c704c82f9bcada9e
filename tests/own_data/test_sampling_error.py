"""The error of sampled values: of means over folds, and of semivalues by permutations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dvbench.own_data.doubts import errors_of_means, sampling_remarks
from dvbench.settings import EvaluatorSettings
from evaluators.baselines.beta_shapley import BetaShapley
from evaluators.baselines.data_shapley import DataShapley
from evaluators.common.sampling import PermutationSampler


def test_errors_of_a_mean_over_the_folds_in_which_a_player_was_valued() -> None:
    valuations = np.array([[1.0, 2.0], [1.0, np.nan], [4.0, 2.0]])
    errors = np.array([[0.3, 0.1], [0.4, np.nan], [0.0, 0.1]])
    np.testing.assert_allclose(errors_of_means(valuations, errors), [0.5 / 3, math.sqrt(0.02) / 2])
    errors[0, 1] = np.nan
    assert errors_of_means(valuations, errors) is None


@pytest.mark.parametrize(("error", "grouped", "warned"), [(0.1, True, True), (0.04, True, False), (0.1, False, False)])
def test_only_a_large_error_of_groups_is_a_warning(error: float, grouped: bool, warned: bool) -> None:
    settings = EvaluatorSettings(name="data_shapley", params={"permutations": 10})
    (line,) = sampling_remarks(settings, np.array([0.0, 0.5]), np.array([error, 0.0]), grouped)
    of = "the mean value above zero" if grouped else "their range"
    assert line.startswith(f"values are sampled: the largest standard error is {error:.2g}, {2 * error:.0%} of {of}")
    assert ("--parameter permutations=40" in line) == warned
    assert sampling_remarks(settings, np.array([0.0, 0.5]), np.zeros(2), grouped) == []
    harmful = np.array([-2.0, 0.0, 0.5])  # who is paid nothing does not make the error of the others smaller
    assert ("40" in sampling_remarks(settings, harmful, np.array([error, 0.0, 0.0]), grouped)[0]) == warned


@pytest.mark.parametrize("evaluator", [DataShapley, BetaShapley])
def test_standard_errors_are_those_of_means_over_permutations(evaluator) -> None:
    """Valued again by one permutation at a time, whose values' mean is the value."""
    n, permutations = 7, 12
    table = np.random.default_rng(0).normal(size=2**n)

    def utility(members, **_):
        return float(table[sum(2**i for i in members)])

    def valued(count: int, state) -> tuple[np.ndarray, np.ndarray]:
        made = evaluator(count, random_state=state)
        made.num_points = n
        made.sampler.set_coalition(np.zeros(n))
        made.sampler.set_evaluator(utility)
        made.marg_contrib = made.sampler.compute_marginal_contribution()
        return made.evaluate_data_values(), made.standard_errors_

    values, errors = valued(permutations, np.random.RandomState(0))
    state = np.random.RandomState(0)
    alone = np.array([valued(1, state)[0] for _ in range(permutations)])
    np.testing.assert_allclose(values, alone.mean(axis=0))
    np.testing.assert_allclose(errors, alone.std(axis=0, ddof=1) / math.sqrt(permutations))
    assert valued(2**n, state)[1] is None


def test_a_sampler_that_drew_nothing_has_no_errors() -> None:
    assert PermutationSampler(2).standard_errors(np.ones(1)) is None
