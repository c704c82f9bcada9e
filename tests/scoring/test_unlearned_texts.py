"""Language models by which unlearning is judged: their outputs at tokens, and scores worked out from these."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_texts import counted
from scipy.stats import spearmanr
from small_problems import a_problem, never, scored
from text_problems import HOW, TINY, a_text_problem

from dvbench.problems.perplexity import mean_log_loss, negative_perplexity
from dvbench.randomness import integer_seed
from dvbench.scoring import outputs as outputs_module
from dvbench.scoring import unlearned_texts
from dvbench.scoring.build import make_unlearning_experiment
from dvbench.scoring.contract import Valuation
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_points import PointUnlearningExperiment
from dvbench.scoring.unlearned_texts import TextUnlearningExperiment
from dvbench.settings import ModelSettings
from dvbench.tasks.knowledge_retention import knowledge_retention
from dvbench.tasks.output_divergence import output_divergence
from dvbench.tasks.retrained_agreement import retrained_agreement
from dvbench.training.language_model import LanguageModel
from dvbench.training.text_batches import lengths
from dvbench.unlearning.language_model_engine import LanguageModelUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent
from dvbench.unlearning_methods.plain_ascent import PlainAscent

FIT = {"epochs": HOW.epochs, "batch_size": HOW.batch_size, "lr": HOW.lr}
METHOD = GradientAscent(steps=6, batch_size=4, lr=0.02, lambda1=0.01)
TASKS = (output_divergence, knowledge_retention, retrained_agreement)


@pytest.fixture(scope="module")
def problem():
    return a_text_problem(answers=True)


@pytest.fixture(scope="module")
def forgetting(problem):
    return make_unlearning_experiment(Retraining(problem, TINY, HOW))


@pytest.fixture(scope="module")
def found(forgetting):
    return forgetting.outputs(METHOD)


@pytest.fixture(scope="module")
def models(problem):
    """The same models, made one by one."""
    train, untrained = problem.train, Retraining(problem, TINY, HOW).model
    full = untrained.clone().fit(train.x, train.y, **FIT)
    engine = LanguageModelUnlearner(full, train.x, train.y, problem.validation.x, problem.validation.y, METHOD)
    seed = integer_seed(problem.dataset, problem.seed, "unlearning", "valuation")
    players = [np.flatnonzero(problem.groups == player) for player in range(problem.players)]
    others = [np.flatnonzero(problem.groups != player) for player in range(problem.players)]
    return {
        "full": [full],
        "untrained": [untrained],
        "unlearned": [engine.unlearn([rows], seed) for rows in players],
        "retrained": [untrained.clone().fit(train.x[rows], train.y[rows], **FIT) for rows in others],
    }


def at_tokens(model: LanguageModel, split) -> torch.Tensor:
    """Logits of the tokens of texts that count, (tokens, vocabulary)."""
    with torch.no_grad():
        return counted(model.network, split.x, split.y.long())[0]


def scores(task, problem, found):
    return scored(task, problem, Valuation(np.zeros(problem.players), None, lambda: found), never)


def test_texts_are_judged_by_tokens_and_points_as_ever(forgetting):
    assert isinstance(forgetting, TextUnlearningExperiment)
    points = make_unlearning_experiment(Retraining(a_problem(6), ModelSettings(name="logistic_regression"), HOW))
    assert type(points) is PointUnlearningExperiment


def test_the_tokens_are_all_that_count_with_their_owners(problem, found):
    """Few texts, so that all of them are kept."""
    targets, owners = found.points.y, found.points.owners
    assert targets.shape == owners.shape
    expected = {player: [] for player in range(-1, problem.players)}
    for split, who in ((problem.train, problem.groups), (problem.test, np.full(len(problem.test), -1))):
        for x, y, owner in zip(split.x, split.y, who, strict=True):
            expected[owner] += x.tolist()[int(y) : int(lengths(x[None]))]
    for owner, tokens in expected.items():
        assert sorted(targets[torch.from_numpy(owners == owner)].tolist()) == sorted(tokens)
    assert targets[torch.from_numpy(owners == -1)].tolist() == expected[-1]  # of the test set in its order
    assert len(expected[-1]) == int((lengths(problem.test.x) - 3).sum())


@pytest.mark.parametrize("kind", ["full", "untrained", "unlearned", "retrained"])
def test_outputs_are_those_of_models_made_one_by_one(kind, problem, found, models):
    kept = getattr(found, kind)
    assert len(kept) == len(models[kind])
    test = torch.from_numpy(np.flatnonzero(found.points.owners == -1))
    for number, model in enumerate(models[kind]):
        torch.testing.assert_close(kept[number][:, test], at_tokens(model, problem.test).T, rtol=1e-3, atol=1e-4)
    # Of players' texts in whatever order: by their losses.
    for player in range(problem.players):
        rows = torch.from_numpy(problem.groups == player)
        own = torch.from_numpy(np.flatnonzero(found.points.owners == player))
        loss = F.cross_entropy(kept[0][:, own].T, found.points.y[own])
        expected = mean_log_loss(problem.train.y[rows], models[kind][0].predict(problem.train.x[rows]))
        assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_models_are_told_apart(found):
    test = torch.from_numpy(np.flatnonzero(found.points.owners == -1))
    each = [found.full[0], found.untrained[0], *found.unlearned, *found.retrained]
    logits = [one[:, test] for one in each]
    for i in range(len(logits)):
        for j in range(i):
            assert not torch.allclose(logits[i], logits[j], atol=1e-3)


def test_divergence_from_the_models_themselves(problem, found, models):
    metrics = scores(output_divergence, problem, found).metrics
    expected = {f"{measure}{kind}": [] for measure in ("lkd", "lmse", "pmse") for kind in ("", "_untrained", "_full")}
    for player in range(problem.players):
        keep = torch.from_numpy(problem.groups != player)
        retain = type(problem.train)(problem.train.x[keep], problem.train.y[keep])
        retrained = at_tokens(models["retrained"][player], retain)
        judged = {"": models["unlearned"][player], "_untrained": models["untrained"][0], "_full": models["full"][0]}
        for kind, model in judged.items():
            logits = at_tokens(model, retain)
            apart = F.kl_div(
                logits.log_softmax(1), retrained.log_softmax(1), reduction="batchmean", log_target=True
            )  # KL(retrained || other)
            expected[f"lkd{kind}"].append(apart.item())
            expected[f"lmse{kind}"].append(F.mse_loss(logits, retrained).item())
            expected[f"pmse{kind}"].append(F.mse_loss(logits.softmax(1), retrained.softmax(1)).item())
    assert metrics == pytest.approx({name: np.mean(each) for name, each in expected.items()}, rel=1e-3, abs=1e-7)


def test_retention_from_the_models_themselves(problem, found, models):
    """Performance is the negative perplexity on a player's texts, or on all others'."""

    def mean_utilities(kind, forget):
        each = []
        for player in range(problem.players):
            rows = torch.from_numpy((problem.groups == player) == forget)
            model = models[kind][player if len(models[kind]) > 1 else 0]
            each.append(negative_perplexity(problem.train.y[rows], model.predict(problem.train.x[rows])))
        return np.mean(each)

    outcome = scores(knowledge_retention, problem, found)
    for path, forget in (("forget", True), ("retain", False)):
        perf = {kind: mean_utilities(kind, forget) for kind in models}
        known = perf["full"] - perf["untrained"]
        for kind, end in (("unlearned", ""), ("retrained", "_retrained")):
            expected = (perf[kind] - perf["untrained"]) / known
            assert outcome.metrics[f"kr_{path}{end}"] == pytest.approx(expected, rel=1e-3)
    assert outcome.metrics["kr_forget"] < 1
    assert len(outcome.curves["train_loss"]) == HOW.epochs + 1


def test_agreement_from_the_models_themselves(problem, found, models):
    outcome = scores(retrained_agreement, problem, found)
    perf = {
        kind: np.array([negative_perplexity(problem.test.y, model.predict(problem.test.x)) for model in models[kind]])
        for kind in ("unlearned", "retrained", "full")
    }
    assert outcome.metrics["spc"] == pytest.approx(spearmanr(perf["unlearned"], perf["retrained"]).statistic)
    assert outcome.metrics["gap"] == pytest.approx(np.abs(perf["unlearned"] - perf["retrained"]).mean(), rel=1e-3)
    assert outcome.metrics["gap_full"] == pytest.approx(np.abs(perf["full"] - perf["retrained"]).mean(), rel=1e-3)
    np.testing.assert_allclose(outcome.curves["retrained"], perf["retrained"], rtol=1e-4)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.score.__name__)
def test_in_how_many_pieces_tokens_are_looked_at_does_not_matter(task, problem, found, monkeypatch):
    whole = scores(task, problem, found)
    monkeypatch.setattr(outputs_module, "LOGITS_PER_BATCH", 7 * problem.outputs)
    pieces = scores(task, problem, found)
    assert pieces.metrics == pytest.approx(whole.metrics, rel=1e-5)
    for name, curve in whole.curves.items():
        np.testing.assert_allclose(pieces.curves[name], curve, rtol=1e-4, atol=1e-6)


def test_losses_are_followed(problem, forgetting, models):
    """Few texts, so that all of them are watched."""
    found = forgetting.outputs(PlainAscent(steps=15, batch_size=4, lr=0.02))
    train, test = found.training["train"], found.training["test"]
    assert [len(train), len(test)] == [HOW.epochs + 1] * 2
    for position, kind in ((0, "untrained"), (-1, "full")):
        (model,) = models[kind]
        for split, line in ((problem.train, train), (problem.test, test)):
            assert line[position] == pytest.approx(mean_log_loss(split.y, model.predict(split.x)), rel=1e-4)
    assert train[-1] < train[0] - 0.5
    steps = found.unlearning["step"]
    assert steps == sorted({round(15 * mark / 10) for mark in range(11)})
    forget, retain = found.unlearning["forget"], found.unlearning["retain"]
    assert len(forget) == len(retain) == len(found.unlearning["test"]) == len(steps)
    assert forget[-1] > forget[0] + 0.5
    last = []
    for player in range(problem.players):
        own = torch.from_numpy(np.flatnonzero(found.points.owners == player))
        last.append(F.cross_entropy(found.unlearned[player][:, own].T, found.points.y[own]).item())
    assert forget[-1] == pytest.approx(np.mean(last), rel=1e-4)


def test_performances_lost_are_those_of_the_models_judged(problem, forgetting, models):
    lost = forgetting.utilities_lost(forgetting.unlearner(METHOD))
    validation = problem.validation
    perf = {
        kind: np.array([negative_perplexity(validation.y, model.predict(validation.x)) for model in models[kind]])
        for kind in ("full", "unlearned")
    }
    np.testing.assert_allclose(lost, perf["full"] - perf["unlearned"], rtol=1e-3, atol=1e-4)


def test_of_long_corpora_some_texts_are_kept_whole(problem, monkeypatch):
    monkeypatch.setattr(unlearned_texts, "COMPARED", 12)
    found = make_unlearning_experiment(Retraining(problem, TINY, HOW)).outputs(METHOD)
    whole = lengths(problem.train.x).numpy()
    for player in range(problem.players):
        tokens = int((found.points.owners == player).sum())
        assert tokens < (whole[problem.groups == player] - 1).sum()
        assert tokens >= 12 - 3  # texts, whose first tokens are not predicted, until there are 12
    assert (found.points.owners == -1).sum() == (lengths(problem.test.x) - 3).sum()


def test_the_same_outputs_every_time(problem, found):
    again = make_unlearning_experiment(Retraining(problem, TINY, HOW)).outputs(METHOD)
    for task in TASKS:
        assert scores(task, problem, again) == scores(task, problem, found)


def test_a_model_that_diverged_has_no_perplexity(problem, found):
    far = found.unlearned[0]

    class Far:
        def __getitem__(self, part):
            return far[part] * math.inf

    class Models(list):
        pass

    wild = replace(found, unlearned=Models([Far()] * problem.players))
    with pytest.raises(FloatingPointError, match="a model diverged: its perplexity is NaN or infinite"):
        scores(retrained_agreement, problem, wild)
