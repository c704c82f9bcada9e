"""Retraining: each subset once, the same for every evaluator and every time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from small_problems import a_problem, scored

from dvbench.randomness import integer_seed
from dvbench.scoring.contract import Valuation
from dvbench.scoring.retraining import Retraining
from dvbench.settings import ModelSettings, Training
from dvbench.tasks.point_addition import point_addition
from dvbench.tasks.point_removal import point_removal
from dvbench.training.build import build_model

MLP = ModelSettings(name="mlp", params={"hidden": [4]})
TRAINING = Training(epochs=3, batch_size=8, lr=0.05, weight_decay=0.3)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small take several times as long on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def retraining(**problem):
    return Retraining(a_problem(40, **problem), MLP, TRAINING)


def one_at_a_time(problem, coalitions):
    """What retraining is to say, by fitting one clone after the other."""
    seed = integer_seed(problem.dataset, problem.seed, "scoring")
    model = build_model(MLP, (2,), problem.outputs, problem.kind, seed=seed, weight_decay=0.3)
    actual = []
    for players in coalitions:
        x, y = problem.train.x[np.sort(players)], problem.train.y[np.sort(players)]
        trained = model.clone().fit(x, y, batch_size=8, epochs=3, lr=0.05)
        actual.append(float(problem.metric(problem.test.y, trained.predict(problem.test.x))))
    return actual


def test_performance_is_that_of_a_model_trained_with_the_settings():
    problem = a_problem(40, kind="regression", seed=9, dataset="hills")
    players = np.arange(3, 33)
    seed = integer_seed("hills", 9, "scoring")
    model = build_model(MLP, (2,), 1, "regression", seed=seed, weight_decay=0.3)
    model.fit(problem.train.x[players], problem.train.y[players], batch_size=8, epochs=3, lr=0.05)
    expected = -(model.predict(problem.test.x) - problem.test.y).square().mean()
    assert Retraining(problem, MLP, TRAINING)([players]) == pytest.approx([float(expected)], rel=1e-5)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_models_trained_together_are_those_trained_one_at_a_time(kind):
    retrain = retraining(kind=kind)
    rng = np.random.default_rng(0)
    coalitions = [rng.permutation(40)[:size] for size in (40, 1, 8, 9, 23, 0, 17, 24)]
    expected = one_at_a_time(retrain.problem, coalitions)
    assert retrain(coalitions) == pytest.approx(expected, rel=1e-4)
    assert len(set(expected)) > 4


@pytest.mark.parametrize("task", [point_removal, point_addition])
def test_a_curve_is_that_of_models_trained_one_at_a_time(task):
    retrain = retraining(kind="regression")
    values = Valuation(np.random.default_rng(0).normal(size=40))
    expected = scored(task, retrain.problem, values, lambda asked: np.array(one_at_a_time(retrain.problem, asked)))
    outcome = scored(task, retrain.problem, values, retrain)
    assert outcome.curves.keys() == expected.curves.keys()
    for name, curve in expected.curves.items():
        assert outcome.curves[name] == pytest.approx(curve, rel=1e-4)


def test_the_hidden_test_set_is_scored():
    everybody = np.arange(40)
    assert retraining()([everybody])[0] > 0.9
    assert retraining(flip_test=True)([everybody])[0] < 0.1


def test_without_players_the_untrained_model_is_scored():
    retrain = retraining(kind="regression")
    problem = retrain.problem
    expected = -(retrain.model.predict(problem.test.x) - problem.test.y).square().mean()
    assert retrain([np.arange(0)]) == pytest.approx([float(expected)], rel=1e-5)


def test_nobody_asks_for_nothing():
    retrain = retraining()
    assert retrain([]).shape == (0,)
    assert retrain.model.fits.count == 0


def test_each_subset_is_trained_once_whatever_its_order():
    retrain = retraining(kind="regression")
    players = np.array([5, 2, 30, 17])
    given = players.copy()
    scores = [*retrain([players, players[::-1]]), *retrain([np.sort(players)]), *retrain([players.astype(np.int32)])]
    assert len(set(scores)) == 1
    assert retrain.model.fits.count == 1
    assert players.tolist() == given.tolist()
    more = retrain([players[:3], players, players[1:]])
    assert len({*more, scores[0]}) == 3
    assert more[1] == scores[0]
    assert retrain.model.fits.count == 3


def test_what_was_trained_before_does_not_matter():
    after_others, alone = retraining(kind="regression"), retraining(kind="regression")
    after_others([np.arange(10)])
    assert after_others([np.arange(20, 40)]) == alone([np.arange(20, 40)])


def test_what_was_trained_before_others_diverged_stays_known():
    retrain = retraining(kind="regression")
    known = retrain([np.arange(10)])
    retrain.training = TRAINING.model_copy(update={"lr": 1e38})
    with pytest.raises(FloatingPointError):
        retrain([np.arange(20), np.arange(10)])
    assert retrain([np.arange(10)]) == known


def test_removal_and_addition_share_their_models():
    retrain = retraining()
    values = Valuation(np.random.default_rng(0).normal(size=40))
    removal = scored(point_removal, retrain.problem, values, retrain)
    fits = retrain.model.fits.count
    addition = scored(point_addition, retrain.problem, values, retrain)
    assert fits == 3 * 19 + 1  # three orders, which share the model of all players
    assert retrain.model.fits.count - fits == 19  # the random order's beginnings; the others are ends of removal
    assert addition.curves["add_low"][::-1] == removal.curves["remove_high"]


def test_every_evaluator_and_every_call_gets_the_same_scores():
    values = Valuation(np.random.default_rng(0).normal(size=40))
    outcomes = []
    state = torch.get_rng_state()
    for seed in (1, 2):
        torch.manual_seed(seed)
        outcomes.append(scored(point_removal, a_problem(40), values, retraining()))
    torch.set_rng_state(state)
    assert outcomes[0] == outcomes[1]
    assert len(set(outcomes[0].curves["remove_high"])) > 3


@pytest.mark.parametrize("change", [{"seed": 1}, {"dataset": "other"}])
def test_another_problem_has_other_models(change):
    everybody = [np.arange(40)]
    assert retraining(kind="regression", **change)(everybody) != retraining(kind="regression")(everybody)
