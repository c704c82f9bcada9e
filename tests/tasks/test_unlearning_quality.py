"""Tasks that judge unlearning methods, on outputs whose scores are known by hand, and on models that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_problems import a_problem, never, scored

from dvbench.errors import UserError
from dvbench.problems.problem import Problem, Split
from dvbench.registry import entries
from dvbench.scoring.contract import Task, Valuation
from dvbench.scoring.outputs import UnlearningOutputs
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_points import PointUnlearningExperiment
from dvbench.settings import ModelSettings, Training
from dvbench.tasks.knowledge_retention import knowledge_retention
from dvbench.tasks.output_divergence import output_divergence
from dvbench.tasks.retrained_agreement import retrained_agreement
from dvbench.tasks.unlearning_error import unlearning_error
from dvbench.unlearning_methods.fine_tuning import FineTuning
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.plain_ascent import PlainAscent

TASKS = (output_divergence, knowledge_retention, retrained_agreement)
SURE = math.log(9.0)  # a logit that makes a class of two 90% probable


def classes_apart(players: int = 4, each: int = 3, test: int = 8) -> Problem:
    """Points of as many classes as players, each class a player."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(players), each)
    centres = 4 * rng.normal(size=(players, 5))

    def split(labels: np.ndarray) -> Split:
        x = centres[labels] + rng.normal(size=(len(labels), 5))
        return Split(torch.tensor(x, dtype=torch.float32), torch.eye(players)[torch.from_numpy(labels)])

    others = np.arange(test) % players
    problem = a_problem(players)
    return replace(problem, train=split(labels), validation=split(others), test=split(others), groups=labels)


def says(problem: Problem, answers: np.ndarray, scale: float = 5.0) -> torch.Tensor:
    """Logits of a model that answers these classes on training and test points, (1, outputs, points)."""
    return scale * torch.eye(problem.outputs)[torch.from_numpy(answers)].T.unsqueeze(0)


def right(problem: Problem) -> np.ndarray:
    return torch.cat([problem.train.y, problem.test.y]).argmax(dim=1).numpy()


def metrics(task: Task, problem: Problem, actual: UnlearningOutputs) -> dict[str, float]:
    return scored(task, problem, Valuation(np.zeros(problem.players), None, lambda: actual), never).metrics


@pytest.fixture
def perfect():
    """Unlearned models are the retrained ones: right on what they saw, and wrong by one class on their own player.

    The untrained model is right nowhere.
    """
    problem = classes_apart()
    answers = right(problem)
    wrong = (answers + 1) % problem.outputs
    # On the test set each is a little worse than the one before.
    retrained = []
    for player in range(problem.players):
        said = np.where(answers == player, wrong, answers)
        said[-player - 1 :] = wrong[-player - 1 :]
        retrained.append(says(problem, said))
    models = torch.cat(retrained)
    return problem, UnlearningOutputs(says(problem, answers), says(problem, wrong), models.clone(), models)


def test_perfect_unlearning(perfect):
    problem, actual = perfect
    divergence = metrics(output_divergence, problem, actual)
    assert (divergence["lkd"], divergence["lmse"], divergence["pmse"]) == (0.0, 0.0, 0.0)
    retention = metrics(knowledge_retention, problem, actual)
    assert retention == {
        "kr_forget": 0.0, "kr_forget_retrained": 0.0, "kr_retain": 1.0, "kr_retain_retrained": 1.0, "kr_error": 0.0,
    }  # fmt: skip
    agreement = metrics(retrained_agreement, problem, actual)
    assert (agreement["spc"], agreement["gap"]) == (pytest.approx(1.0), 0.0)


def test_a_model_that_forgot_nothing(perfect):
    problem, actual = perfect
    same = replace(actual, unlearned=actual.full.expand_as(actual.retrained))
    retention = metrics(knowledge_retention, problem, same)
    assert (retention["kr_forget"], retention["kr_retain"]) == (1.0, 1.0)
    divergence = metrics(output_divergence, problem, same)
    assert divergence["lkd"] == pytest.approx(divergence["lkd_full"])
    agreement = metrics(retrained_agreement, problem, same)
    assert (agreement["spc"], agreement["p_spc"]) == (0.0, 1.0)
    assert agreement["gap"] == agreement["gap_full"] > 0


def test_a_model_that_forgot_everything(perfect):
    problem, actual = perfect
    nothing = replace(actual, unlearned=actual.untrained.expand_as(actual.retrained))
    retention = metrics(knowledge_retention, problem, nothing)
    assert (retention["kr_forget"], retention["kr_retain"]) == (0.0, 0.0)
    divergence = metrics(output_divergence, problem, nothing)
    for measure in ("lkd", "lmse", "pmse"):
        assert divergence[measure] == pytest.approx(divergence[f"{measure}_untrained"])


def test_hand_computed_divergence():
    """Two classes: retrained says 90 to 10, unlearned 50 to 50, on retain points; forget sets do not count."""
    problem = classes_apart(players=2, each=2, test=4)
    n = len(problem.train) + len(problem.test)
    retrained = torch.zeros(2, 2, n)
    retrained[:, 0] = SURE
    unlearned = torch.zeros(2, 2, n)
    for player in range(2):  # far off on what is to be forgotten
        unlearned[player, 1, :4][problem.groups == player] = 100.0
    actual = UnlearningOutputs(torch.zeros(1, 2, n), retrained[:1], unlearned, retrained)
    scores = metrics(output_divergence, problem, actual)
    assert scores["lkd"] == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5), rel=1e-6)
    assert scores["lmse"] == pytest.approx(SURE**2 / 2, rel=1e-6)
    assert scores["pmse"] == pytest.approx(0.4**2, rel=1e-5)
    assert (scores["lkd_untrained"], scores["lmse_untrained"]) == (0.0, 0.0)
    assert scores["lkd_full"] == scores["lkd"]


def test_a_sure_model_is_log_c_from_a_uniform_one():
    """The paper's 2.300 for untrained models on ten classes is log 10: the divergence is KL(retrained || other)."""
    problem = classes_apart(players=10, each=2, test=10)
    actual = UnlearningOutputs(*(says(problem, right(problem), scale) for scale in (60.0, 0.0)), *[torch.zeros(0)] * 2)
    sure = actual.full.expand(10, -1, -1)
    scores = metrics(output_divergence, problem, replace(actual, unlearned=sure, retrained=sure))
    assert scores["lkd_untrained"] == pytest.approx(math.log(10), rel=1e-6)
    assert scores["pmse_untrained"] == pytest.approx(0.09, rel=1e-5)  # which is its 0.090 for CIFAR-10


def test_hand_computed_retention():
    """Full 3 of 3, untrained 1 of 3 and unlearned 2 of 3 on forget sets: half is left. On retain sets 3/4."""
    problem = classes_apart(players=4, each=3)
    answers = right(problem)
    wrong = (answers + 1) % 4

    def first(k: int) -> np.ndarray:  # right on the first k points of each class
        return np.where(np.arange(len(answers)) % 3 < k, answers, wrong)

    unlearned = []
    for player in range(4):
        said = answers.copy()
        said[:12][np.arange(12) // 3 == player] = first(2)[:12][np.arange(12) // 3 == player]
        lost = (np.arange(12) // 3 != player) & (np.arange(12) % 3 == 2) & ((np.arange(12) // 3 - player) % 4 < 2)
        said[:12][lost] = wrong[:12][lost]
        unlearned.append(says(problem, said))
    models = torch.cat(unlearned)
    actual = UnlearningOutputs(says(problem, answers), says(problem, first(1)), models, models)
    scores = metrics(knowledge_retention, problem, actual)
    assert scores["kr_forget"] == pytest.approx((2 / 3 - 1 / 3) / (1 - 1 / 3))
    assert scores["kr_retain"] == pytest.approx((8 / 9 - 1 / 3) / (1 - 1 / 3))


def test_a_full_model_that_knows_nothing_is_an_error(perfect):
    problem, actual = perfect
    with pytest.raises(ValueError, match="knows no more of forget sets than an untrained one: train it longer"):
        metrics(knowledge_retention, problem, replace(actual, full=actual.untrained))


def test_densities_integrate_to_one_and_tell_models_apart(perfect):
    problem, actual = perfect
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=actual.retrained.shape)).float()
    actual = replace(actual, retrained=actual.retrained + noise, unlearned=actual.untrained + noise)
    curves = scored(output_divergence, problem, Valuation(np.zeros(4), None, lambda: actual), never).curves
    grid = np.array(curves["log10_loss"])
    assert len(grid) == 201
    for name in ("unlearned", "retrained", "full", "untrained"):  # untrained models have equal losses
        assert sum(curves[name]) * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-6)
    means = {name: np.average(grid, weights=curves[name]) for name in ("unlearned", "retrained", "full")}
    assert means["unlearned"] > means["retrained"] + 0.5


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 5.0))
def test_unlearned_models_that_are_the_retrained_ones_have_no_distance(seed, scale):
    problem = classes_apart()
    points = len(problem.train) + len(problem.test)
    draw = lambda k: torch.from_numpy(np.random.default_rng([seed, k]).normal(size=(k, 4, points)) * scale).float()  # noqa: E731
    actual = UnlearningOutputs(draw(1), draw(1) + 1, draw(4), draw(4))
    scores = metrics(output_divergence, problem, actual)
    assert (scores["lkd"], scores["lmse"], scores["pmse"]) == (0.0, 0.0, 0.0)
    assert min(scores.values()) >= 0.0
    assert metrics(retrained_agreement, problem, actual)["gap"] == 0.0


def test_too_few_players_are_refused():
    problem = classes_apart(players=2)
    logits = torch.zeros(2, 2, len(problem.train) + len(problem.test))
    with pytest.raises(UserError, match="2 players are too few"):
        metrics(retrained_agreement, problem, UnlearningOutputs(logits[:1], logits[:1], logits, logits))


@pytest.mark.parametrize("task", TASKS)
def test_values_of_an_evaluator_cannot_be_judged(task):
    with pytest.raises(ValueError, match="these values come from no unlearning method"):
        scored(task, classes_apart(), Valuation(np.zeros(4)), never)


def test_every_task_that_judges_is_tested_and_tells_what_it_is():
    judging = {
        name: entry for name, entry in entries("tasks").items() if entry.definition.metadata.get("judges_unlearning")
    }
    tested = [*TASKS, unlearning_error]  # the last one in a file of its own
    assert [entry.load() for entry in judging.values()] == sorted(tested, key=lambda task: task.score.__name__)
    for entry in judging.values():
        task = entry.load()
        assert {key: getattr(task, key) for key in entry.definition.metadata} == entry.definition.metadata
        assert "Headline:" in entry.docstring


MODEL = ModelSettings(name="mlp", params={"hidden": [8]})
HOW = Training(epochs=5, batch_size=4, lr=0.02)


@pytest.fixture(scope="module")
def forgetting():
    return PointUnlearningExperiment(Retraining(classes_apart(each=10, test=40), MODEL, HOW))


@pytest.mark.parametrize("parameters", ["all", "head"])
def test_outputs_are_those_of_models_made_one_by_one(parameters, forgetting):
    problem = forgetting.problem
    method = GradientAscent(steps=6, batch_size=4, lr=0.01, parameters=parameters)
    actual = forgetting.outputs(method)
    points = torch.cat([problem.train.x, problem.test.x])
    plain = Retraining(problem, MODEL, HOW)
    fit = {"epochs": HOW.epochs, "batch_size": HOW.batch_size, "lr": HOW.lr}
    full = plain.model.clone().fit(problem.train.x, problem.train.y, **fit)
    with torch.no_grad():
        torch.testing.assert_close(actual.full[0].T, full.network(points), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(actual.untrained[0].T, plain.model.network(points), rtol=1e-4, atol=1e-4)
    for player in range(4):
        others = np.flatnonzero(problem.groups != player)
        alone = plain.model.clone().fit(problem.train.x[others], problem.train.y[others], **fit)
        with torch.no_grad():
            torch.testing.assert_close(actual.retrained[player].T, alone.network(points), rtol=1e-3, atol=1e-3)
    # Tasks on values get the test utility of the retrained models.
    y = problem.test.y.argmax(dim=1)
    accuracy = (actual.retrained[:, :, len(problem.train) :].argmax(dim=1) == y).double().mean(dim=1)
    np.testing.assert_allclose(accuracy, plain([np.delete(np.arange(4), i) for i in range(4)]), atol=1e-6)
    assert actual.unlearned.shape == actual.retrained.shape
    assert not torch.allclose(actual.unlearned, actual.full)


def test_losses_are_followed(forgetting):
    actual = forgetting.outputs(PlainAscent(steps=25, batch_size=4, lr=0.01))
    assert list(actual.training) == ["train", "test"]
    assert [len(line) for line in actual.training.values()] == [6, 6]
    assert actual.training["train"][-1] < actual.training["train"][0] / 2
    assert list(actual.unlearning) == ["step", "forget", "retain", "test"]
    assert actual.unlearning["step"] == [0, 2, 5, 8, 10, 12, 15, 18, 20, 22, 25]
    forget = actual.unlearning["forget"]
    assert forget[-1] > 10 * forget[0]
    # The last looks are those of the unlearned models: few points, so that all are watched.
    problem, n = forgetting.problem, len(forgetting.problem.train)
    loss = torch.nn.functional.cross_entropy
    last = [
        loss(actual.unlearned[p, :, :n].T[problem.groups == p], problem.train.y[problem.groups == p]) for p in range(4)
    ]
    assert forget[-1] == pytest.approx(torch.stack(last).mean().item(), rel=1e-5)


def test_fine_tuning_forgets_for_nobody_in_particular(forgetting):
    actual = forgetting.outputs(FineTuning(steps=5, batch_size=4, lr=0.01))
    assert torch.allclose(actual.unlearned[0], actual.unlearned[3])


def test_performances_lost_are_those_of_the_models_judged(forgetting):
    problem, method = forgetting.problem, GradientAscent(steps=20, batch_size=4, lr=0.02)
    lost = forgetting.utilities_lost(forgetting.unlearner(method))
    assert lost.shape == (4,)
    assert (lost > 0).any()
    # Few points: what other minibatches change may not change an accuracy.
    assert forgetting._seed("valuation") != forgetting._seed("repeat")
    assert np.array_equal(lost, forgetting.utilities_lost(forgetting.unlearner(method)))
    # The validation set in place of the test set: the same models, told of the same points.
    swapped = replace(problem, test=problem.validation)
    again = PointUnlearningExperiment(Retraining(swapped, MODEL, HOW)).outputs(method)
    n, y = len(problem.train), problem.validation.y.argmax(dim=1)
    accuracy = [(o[:, :, n:].argmax(dim=1) == y).double().mean(dim=1) for o in (again.full, again.unlearned)]
    np.testing.assert_allclose(lost, (accuracy[0] - accuracy[1]).numpy(), atol=1e-6)


def test_points_as_players_are_too_many():
    problem = a_problem(101)
    with pytest.raises(UserError, match=r"101 players are too many to judge unlearning by: at most 100; give the prob"):
        PointUnlearningExperiment(Retraining(problem, ModelSettings(name="logistic_regression"), HOW))
