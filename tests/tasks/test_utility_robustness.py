"""Utility robustness by hand, and the measures of trained models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss
from small_problems import a_problem

from dvbench.errors import UserError
from dvbench.scoring.contract import Valuation
from dvbench.scoring.measures import measured, of_trained, other_model
from dvbench.scoring.retraining import Retraining
from dvbench.settings import ModelSettings, Training
from dvbench.tasks.utility_robustness import utility_robustness

WORTH = np.random.default_rng(0).normal(size=20)
SIGNS = (1, 1, 1, -1)  # the other model is better without the valuable players


def outcome(values, signs=SIGNS):
    problem, valuation = a_problem(len(values)), Valuation(np.asarray(values, dtype=float))
    asked = utility_robustness.wanted_coalitions(problem, valuation)
    assert [len(players) for players in asked] == 2 * [2 * step for step in range(1, 10)]
    worths = np.array([WORTH[players].mean() for players in asked])
    return utility_robustness(problem, valuation, np.array([sign * worths for sign in signs]))


def test_an_oracle_wins_by_the_measures_that_it_knows():
    found = outcome(WORTH).metrics
    assert found == {
        "wins": 0.75, "worst": 0.0, "wins_utility": 1.0, "wins_log_loss": 1.0, "wins_f1": 1.0, "wins_other_model": 0.0
    }  # fmt: skip
    assert outcome(-WORTH).metrics["wins"] == 0.25
    assert outcome(WORTH, (1, 1, 1, 1)).metrics["worst"] == 1


def test_equal_models_are_half_a_win():
    assert outcome(WORTH, (0, 0, 0, 0)).metrics["wins"] == 0.5


def test_random_values_win_half_of_the_time():
    rng = np.random.default_rng(1)
    wins = [outcome(rng.normal(size=20), (1, 1, 1, 1)).metrics["wins"] for _ in range(200)]
    assert np.mean(wins) == pytest.approx(0.5, abs=0.08)


def test_a_problem_without_classes_is_refused():
    with pytest.raises(UserError, match="for classes only"):
        utility_robustness.wanted_coalitions(a_problem(kind="regression"), Valuation(np.zeros(20)))


def test_measures_are_those_of_scikit_learn():
    problem, rng = a_problem(), torch.Generator().manual_seed(0)
    outputs, y = torch.randn(3, 2, 50, generator=rng), problem.test.y
    labels = y.argmax(dim=1).numpy()
    for number, logits in enumerate(outputs):
        predicted, probabilities = logits.argmax(dim=0).numpy(), logits.softmax(dim=0).T.double().numpy()
        for name, expected in (
            ("utility", accuracy_score(labels, predicted)),
            ("f1", f1_score(labels, predicted, average="macro")),
            ("log_loss", -log_loss(labels, probabilities, labels=[0, 1])),
        ):
            assert measured(name, problem, y, outputs)[number] == pytest.approx(expected, abs=1e-6)


def test_retraining_measures_the_models_that_it_has_trained_once():
    problem = a_problem()
    how = ModelSettings(name="logistic_regression"), Training(epochs=3, lr=0.1)
    coalitions = [np.arange(10), np.arange(5, 20)]
    retraining = Retraining(problem, *how, measures=["log_loss", "utility"])
    plain = Retraining(problem, *how)(coalitions)
    np.testing.assert_array_equal(retraining(coalitions), plain)
    retraining._train = lambda unknown: pytest.fail("trained again") if unknown else None
    table = retraining.measured(coalitions, ["utility", "log_loss"])
    np.testing.assert_array_equal(table[0], plain)
    assert (table[1] < 0).all()


def test_the_other_model_is_of_another_family():
    assert other_model(ModelSettings(name="mlp")).name == "logistic_regression"
    assert other_model(ModelSettings(name="logistic_regression")).name == "mlp"
    assert of_trained(["utility", "other_model", "f1"]) == ["utility", "f1"]
