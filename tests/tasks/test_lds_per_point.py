"""LDS per point: by hand, by brute force, and with values that belong to other points or players."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from small_problems import a_problem
from text_problems import HOW, TINY, a_text_problem

from dvbench.execution.valuation import valuate
from dvbench.problems.perplexity import mean_log_loss
from dvbench.problems.problem import Problem, Split
from dvbench.problems.variants import FAMILIES, SINGLE_POINTS, VARIANTS, single_points
from dvbench.randomness import integer_seed
from dvbench.scoring.contract import Outcome, Valuation
from dvbench.scoring.retraining import Retraining
from dvbench.settings import EvaluatorSettings, ModelSettings, Training
from dvbench.tasks.lds import lds
from dvbench.tasks.lds_per_point import lds_per_point
from dvbench.training.build import build_model

POINTS = FAMILIES["points"]
MLP, TRAINING = ModelSettings(name="mlp", params={"hidden": [4]}), Training(epochs=4, batch_size=8, lr=0.05)
WORTH = np.random.default_rng(0).normal(size=(SINGLE_POINTS, 12))


def outcome(values: np.ndarray, worth: np.ndarray = WORTH) -> Outcome:
    """Of values for each point, where a model's utility on a point is what its players are worth for it."""
    problem = a_problem(values.shape[1])
    valuation = Valuation(np.zeros(values.shape[1]), variants=dict(zip(POINTS, values, strict=True)))
    asked = lds_per_point.wanted_coalitions(problem, valuation)
    return lds_per_point(problem, valuation, np.array([[row[players].sum() for players in asked] for row in worth]))


def test_an_oracle_scores_1_and_its_opposite_minus_1() -> None:
    assert outcome(WORTH).metrics == pytest.approx({"lds": 1, "lds_lowest": 1, "lds_error": 0})
    assert outcome(-WORTH).metrics["lds"] == pytest.approx(-1)
    assert outcome(np.ones_like(WORTH)).metrics == {"lds": 0, "lds_lowest": 0, "lds_error": 0}


def test_numbers_are_a_mean_over_points_its_error_and_the_lowest() -> None:
    signs = np.where(np.arange(SINGLE_POINTS) < 5, -1, 1)
    found = outcome(WORTH * signs[:, None])
    assert found.curves["correlation"] == pytest.approx(signs)
    expected = {"lds": 0.5, "lds_lowest": -1, "lds_error": signs.std(ddof=1) / math.sqrt(SINGLE_POINTS)}
    assert found.metrics == pytest.approx(expected)
    assert found.curves["validation_point"] == single_points(a_problem(12)).tolist()
    assert found.axes == {"correlation": "validation_point"}


def test_values_of_other_points_or_players_are_found_out() -> None:
    rng = np.random.default_rng(1)
    of_other_points = [outcome(np.roll(WORTH, shift, axis=0)).metrics["lds"] for shift in range(1, SINGLE_POINTS)]
    of_other_players = [outcome(rng.permuted(WORTH, axis=1)).metrics["lds"] for _ in range(20)]
    assert np.mean(of_other_points) == pytest.approx(0, abs=0.1)
    assert np.mean(of_other_players) == pytest.approx(0, abs=0.1)
    assert max(of_other_points + of_other_players) < 0.5


def by_brute_force(problem: Problem, valuation: Valuation) -> list[float]:
    """The correlation of each point, by one fit after the other and its loss worked out from predictions."""
    how = {"batch_size": TRAINING.batch_size, "epochs": TRAINING.epochs, "lr": TRAINING.lr}
    seed = integer_seed(problem.dataset, problem.seed, "scoring")
    model = build_model(MLP, (2,), problem.outputs, problem.kind, seed=seed)
    losses = []
    coalitions = lds_per_point.wanted_coalitions(problem, valuation)
    for players in coalitions:
        trained = model.clone().fit(problem.train.x[players], problem.train.y[players], **how)
        predicted, y = trained.predict(problem.validation.x), problem.validation.y
        of_points = (predicted - y).square() if problem.kind == "regression" else -(y * predicted.log())
        losses.append(of_points.sum(dim=1).numpy())
    correlations = []
    for name, point in zip(POINTS, single_points(problem), strict=True):
        sums = [valuation.variants[name][players].sum() for players in coalitions]
        correlations.append(spearmanr(sums, [-each[point] for each in losses]).statistic)
    return correlations


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_correlations_are_those_of_models_trained_one_at_a_time(kind: str) -> None:
    problem = a_problem(6, kind=kind)  # of which there are 20 halves
    values = np.random.default_rng(2).normal(size=(SINGLE_POINTS, 6))
    valuation = Valuation(np.zeros(6), variants=dict(zip(POINTS, values, strict=True)))
    retraining = Retraining(problem, MLP, TRAINING, measures=["points"])
    asked = lds_per_point.wanted_coalitions(problem, valuation)
    found = lds_per_point(problem, valuation, retraining.measured(asked, ["points"]))
    assert len(asked) == 20
    assert found.curves["correlation"] == pytest.approx(by_brute_force(problem, valuation), abs=0.02)
    assert np.std(found.curves["correlation"]) > 0.1


def test_the_hidden_test_set_does_not_matter_and_other_measures_stay() -> None:
    coalitions, measures = [np.arange(9), np.arange(3, 12)], ["points", "log_loss"]
    first, flipped = (
        Retraining(a_problem(12, flip_test=flip), MLP, TRAINING, measures=measures) for flip in (False, True)
    )
    before, after = (each.measured(coalitions, measures) for each in (first, flipped))
    assert before.shape == (SINGLE_POINTS + 1, 2)
    np.testing.assert_array_equal(before[:-1], after[:-1])
    assert not np.array_equal(before[-1], after[-1])
    alone = Retraining(a_problem(12), MLP, TRAINING, measures=["log_loss"])
    np.testing.assert_array_equal(before[-1], alone.measured(coalitions, ["log_loss"])[0])


@pytest.mark.slow
def test_losses_of_texts_are_those_of_their_tokens() -> None:
    problem = a_text_problem(players=3, each=4, test=24, groups=False, answers=True)
    retraining = Retraining(problem, TINY, HOW, measures=["points"])
    players = np.arange(0, 12, 2)
    (found,) = retraining.measured([players], ["points"]).T
    how = {"batch_size": HOW.batch_size, "epochs": HOW.epochs, "lr": HOW.lr}
    model = retraining.model.clone().fit(problem.train.x[players], problem.train.y[players], **how)
    said = model.predict(problem.validation.x)
    expected = [-mean_log_loss(problem.validation.y[[i]], said[[i]]) for i in single_points(problem)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert len(set(found.round(4))) > 5


def valued(problem: Problem, name: str, model: ModelSettings, training: Training, **params: object) -> np.ndarray:
    settings = EvaluatorSettings(name=name, params=params)
    return valuate(problem, settings, model, training, key=("small", 0)).arrays["values"]


@pytest.mark.parametrize(
    ("name", "params", "combined"),
    [
        ("trac_in", {}, np.mean),
        ("influence_function", {}, np.sum),  # of OpenDataVal, which does not divide by the number of points
        ("in_run_data_shapley", {"validation_batch": 20}, np.mean),
    ],
)
def test_values_for_single_points_add_up_to_values_for_all_of_them(name, params, combined) -> None:
    problem = a_problem(12)
    problem = replace(problem, validation=Split(problem.validation.x[:20], problem.validation.y[:20]))
    whole = valued(problem, name, MLP, TRAINING, **params)
    single = np.array([valued(VARIANTS[point].change(problem), name, MLP, TRAINING, **params) for point in POINTS])
    np.testing.assert_allclose(combined(single, axis=0), whole, rtol=1e-3, atol=1e-5 * np.abs(whole).max())
    assert np.abs(single - single.mean(axis=0)).max() > np.abs(single.mean(axis=0)).max()


@pytest.mark.slow
def test_gradients_of_texts_are_additive_too() -> None:
    """Over texts of one length: the loss of a validation set is a mean over tokens."""
    problem = a_text_problem(players=2, each=4, test=20, groups=False)
    x = torch.where(problem.validation.x == 65535, 3, problem.validation.x.int()).to(torch.uint16)
    problem = replace(problem, validation=Split(x, problem.validation.y))
    whole = valued(problem, "trac_in", TINY, HOW)
    single = [valued(VARIANTS[point].change(problem), "trac_in", TINY, HOW) for point in POINTS]
    np.testing.assert_allclose(np.mean(single, axis=0), whole, rtol=1e-3, atol=1e-4 * np.abs(whole).max())


def test_influence_predicts_losses_and_that_of_other_players_does_not() -> None:
    """The score of real values is far above that of the same values in another order."""
    problem = a_problem(30)
    names = {point: valued(VARIANTS[point].change(problem), "trac_in", MLP, TRAINING) for point in POINTS}
    utilities = None
    scores = []
    orders = [np.arange(30), *(np.random.default_rng(seed).permutation(30) for seed in range(5))]
    retraining = Retraining(problem, MLP, TRAINING, measures=["points"])
    for order in orders:
        valuation = Valuation(np.zeros(30), variants={point: values[order] for point, values in names.items()})
        if utilities is None:
            utilities = retraining.measured(lds_per_point.wanted_coalitions(problem, valuation), ["points"])
        scores.append(lds_per_point(problem, valuation, utilities).metrics["lds"])
    assert scores[0] > 0.3
    assert max(scores[1:]) < scores[0] - 0.2


def test_models_are_those_of_the_total_form() -> None:
    problem, valuation = a_problem(30), Valuation(np.zeros(30))
    total, single = (task.wanted_coalitions(problem, valuation) for task in (lds, lds_per_point))
    assert len(total) == 100
    assert all(np.array_equal(*pair) for pair in zip(total, single, strict=True))
