"""The unlearning error by hand, and on models that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_problems import a_problem

from dvbench.games import tabulated_shapley_values
from dvbench.scoring.contract import Valuation
from dvbench.scoring.outputs import CoalitionUtilities
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_points import PointUnlearningExperiment
from dvbench.settings import ModelSettings, Training
from dvbench.tasks.unlearning_error import unlearning_error
from dvbench.unlearning_methods.fine_tuning import FineTuning

PLAYERS = 4
MASKS = np.arange(2**PLAYERS)
MEMBERS = MASKS[:, np.newaxis] >> np.arange(PLAYERS) & 1  # of each coalition that is removed
RETRAINED = 0.9 - MEMBERS @ np.array([0.1, 0.2, 0.05, 0.3]) + 0.1 * MEMBERS[:, 0] * MEMBERS[:, 1]


def outcome(unlearned, retrained=RETRAINED):
    valuation = Valuation(np.zeros(PLAYERS), compute_coalitions=lambda: CoalitionUtilities(unlearned, retrained))
    return unlearning_error(a_problem(PLAYERS), valuation, np.empty(0))


def test_retraining_has_no_error():
    found = outcome(RETRAINED).metrics
    assert [found[name] for name in ("eps_u", "eps_u_one", "value_error", "explained")] == [0, 0, 0, 0]
    assert found["spearman"] == 1
    assert found["eps_u_full"] == pytest.approx(np.abs(0.9 - RETRAINED[1:]).mean())


def test_doing_nothing_has_the_error_of_the_full_model_and_values_of_0():
    found = outcome(np.full(len(MASKS), 0.9)).metrics
    assert found["eps_u"] == found["eps_u_full"] > 0
    assert found["spearman"] == 0
    assert found["value_error"] == pytest.approx(np.abs(tabulated_shapley_values(0.9 - RETRAINED)).mean())


def test_errors_that_add_up_are_explained_by_the_gaps_of_single_players():
    error = np.array([0.1, -0.2, 0.0, 0.05])
    found = outcome(RETRAINED - MEMBERS @ error)
    np.testing.assert_allclose(found.curves["error"], error, atol=1e-12)
    np.testing.assert_allclose(found.curves["predicted"], error, atol=1e-12)
    assert found.metrics["explained"] == pytest.approx(1)
    assert found.metrics["value_error"] == pytest.approx(np.abs(error).mean())
    assert found.metrics["eps_u_one"] == pytest.approx(np.abs(error).mean())


def test_independent_errors_are_the_shapley_values_of_the_gaps_and_explained_in_part():
    rng, explained = np.random.default_rng(0), []
    for _ in range(50):
        gaps = 0.1 * rng.normal(size=len(MASKS))
        found = outcome(RETRAINED + gaps)
        np.testing.assert_allclose(found.curves["error"], tabulated_shapley_values(-gaps), atol=1e-12)
        explained.append(found.metrics["explained"])
    assert 0.3 < np.mean(explained) < 0.95


def test_values_of_no_unlearning_method_have_no_error():
    with pytest.raises(ValueError, match="come from no unlearning method"):
        unlearning_error(a_problem(PLAYERS), Valuation(np.zeros(PLAYERS)), np.empty(0))


def test_models_without_each_coalition():
    problem = replace(a_problem(40), groups=np.arange(40) % PLAYERS, corrupted=np.zeros(PLAYERS, dtype=bool))
    # The test set takes the place of the validation set, so that `Retraining` knows the utilities.
    problem = replace(problem, validation=problem.test)
    retraining = Retraining(problem, ModelSettings(name="logistic_regression"), Training(epochs=3, lr=0.1))
    experiment = PointUnlearningExperiment(retraining)
    without = experiment.coalition_utilities(FineTuning(steps=1, lr=1e-9))
    others = [np.flatnonzero(1 - members) for members in MEMBERS]
    np.testing.assert_allclose(without.retrained, retraining(others), atol=1e-6)
    # A method that does nothing leaves the full model.
    np.testing.assert_allclose(without.unlearned, without.retrained[0], atol=1e-6)
