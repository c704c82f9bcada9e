"""TracIn against loops written out: on points, on subsets, on texts, and on OpenDataVal's own model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opendataval.experiment import ExperimentMediator
from opendataval.metrics import accuracy, neg_mse
from opendataval.model import LogisticRegression, RegressionMLP
from plain_texts import counted
from short_fits import FIT
from text_problems import HOW, TINY, a_text_problem
from torch.nn import functional

from dvbench.problems.build import build_problem
from dvbench.problems.perplexity import negative_perplexity
from dvbench.problems.subsets import Subsets
from dvbench.settings import Groups, ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from evaluators import InfluenceFunction, TracIn

TEXT_FIT = {"epochs": 3, "batch_size": 6, "lr": 0.01}


def flat(loss, model):
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.network.parameters()))])


def checkpoints(model, x, y, fit):
    """The model at the end of every epoch, each trained anew."""
    return [model.clone().fit(x, y, **{**fit, "epochs": epoch + 1}) for epoch in range(fit["epochs"])]


def point_values(model, problem, fit, models):
    """Sum over models of lr <grad of the mean validation loss, grad of the point's loss> / n."""
    loss = functional.cross_entropy
    total = np.zeros(len(problem.train))
    for one in models:
        towards = flat(loss(one.network.eval()(problem.validation.x), problem.validation.y), one)
        for i, (x, y) in enumerate(zip(problem.train.x, problem.train.y, strict=True)):
            total[i] += float(towards @ flat(loss(one.network(x[None]), y[None]), one))
    return fit["lr"] * total / len(total)


def value(problem, model, fit, fetcher=None, **settings):
    return TracIn(**settings).train(fetcher or problem.fetcher(), model, problem.metric, **fit).data_values


@pytest.mark.parametrize("checkpoint", ["all", "last"])
def test_values_of_points_are_inner_products_summed_over_checkpoints(problem, model, checkpoint):
    fit = {**FIT, "epochs": 3}
    models = checkpoints(model, problem.train.x, problem.train.y, fit)
    expected = point_values(model, problem, fit, models if checkpoint == "all" else models[-1:])
    np.testing.assert_allclose(value(problem, model, fit, checkpoints=checkpoint), expected, rtol=1e-4, atol=1e-8)


def test_of_one_epoch_the_last_checkpoint_is_all_there_are(problem, model):
    fit = {**FIT, "epochs": 1}
    actual = [value(problem, model, fit, checkpoints=each) for each in ("all", "last")]
    np.testing.assert_array_equal(*actual)
    assert not np.allclose(value(problem, model, {**FIT, "epochs": 2}), actual[0])


def test_the_last_checkpoint_is_the_influence_function_up_to_a_factor(problem, model):
    influence = InfluenceFunction().train(problem.fetcher(), model, accuracy, **FIT).data_values
    actual = value(problem, model, FIT, checkpoints="last")
    factor = FIT["lr"] / len(problem.train) / len(problem.validation)
    np.testing.assert_allclose(actual, factor * influence, rtol=1e-4, atol=1e-9)


def test_a_subset_is_worth_the_sum_of_its_points():
    sizes = Sizes(train=60, validation=30, test=30)
    problem = build_problem("digits", sizes, Noise(), seed=0, groups=Groups(by="classes"))
    settings = ModelSettings(name="logistic_regression")
    model = build_model(settings, problem.shape, problem.outputs, "classification", seed=3)
    whole = value(problem, model, FIT, problem.subset_fetcher())
    # The training sees points in the order of their groups.
    members = np.concatenate(Subsets(problem.train.x, problem.groups).members)
    ordered = type(problem.train)(problem.train.x[members], problem.train.y[members])
    points = point_values(
        model,
        type(problem)(**{**vars(problem), "train": ordered}),
        FIT,
        checkpoints(model, ordered.x, ordered.y, FIT),
    )
    sums = [points[problem.groups[members] == group].sum() for group in range(problem.players)]
    np.testing.assert_allclose(whole, sums, rtol=1e-4, atol=1e-8)


def text_model(problem):
    return build_model(TINY, problem.shape, problem.outputs, "language", seed=3)


def text_values(problem, models, players):
    """Of texts, losses are sums over tokens, and means over all tokens."""

    def summed(network, x, y):
        return functional.cross_entropy(*counted(network, x, y), reduction="sum")

    train, validation = problem.train, problem.validation
    y, y_validation = train.y.long(), validation.y.long()
    total = np.zeros(len(players))
    for one in models:
        towards = flat(functional.cross_entropy(*counted(one.network, validation.x, y_validation)), one)
        n = len(counted(one.network, train.x, y)[1])
        for player, rows in enumerate(players):
            total[player] += float(towards @ flat(summed(one.network, train.x[rows], y[rows]), one)) / n
    return TEXT_FIT["lr"] * total


@pytest.mark.parametrize("checkpoint", ["all", "last"])
@pytest.mark.parametrize("groups", [True, False])
def test_values_of_texts_are_inner_products_summed_over_checkpoints(groups, checkpoint):
    problem = a_text_problem(players=3, each=3, groups=groups, answers=True)
    model = text_model(problem)
    fetcher = problem.subset_fetcher() if groups else problem.fetcher()
    models = checkpoints(model, problem.train.x, problem.train.y, TEXT_FIT)  # groups come one after the other
    players = [problem.points_of(np.array([player])) for player in range(problem.players)]
    expected = text_values(problem, models if checkpoint == "all" else models[-1:], players)
    actual = value(problem, model, TEXT_FIT, fetcher, checkpoints=checkpoint)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-7)
    assert np.ptp(actual) > 1e-4


def test_the_text_model_that_was_given_is_not_changed_and_is_fitted_once():
    problem = a_text_problem(players=3, each=3)
    model = text_model(problem)
    before = [parameter.clone() for parameter in model.network.parameters()]
    first, again = (value(problem, model, TEXT_FIT, problem.subset_fetcher()) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))
    assert model.fits.count == 2
    assert problem.metric is negative_perplexity


def test_a_corpus_like_the_questions_is_worth_most():
    problem = a_text_problem(players=4, each=6)
    about = torch.where(problem.train.x.int() < 5, 1, 0)  # the tokens of the first corpus
    asked = type(problem.validation)(problem.train.x[:6], problem.train.y[:6])
    assert about[:6].any(dim=1).all()
    problem = type(problem)(**{**vars(problem), "validation": asked})
    how = {"epochs": HOW.epochs, "batch_size": HOW.batch_size, "lr": HOW.lr}
    assert value(problem, text_model(problem), how, problem.subset_fetcher()).argmax() == 0


@pytest.mark.parametrize("checkpoint", ["all", "last"])
def test_opendatavals_own_model(two_blobs, checkpoint):
    """It cannot be watched, and is fitted epoch by epoch; replayed here."""
    fit = {"epochs": 3, "lr": 0.05, "batch_size": 16}  # one minibatch, so that no order matters
    torch.manual_seed(0)
    model = LogisticRegression(4, 2)
    mediator = ExperimentMediator(two_blobs, model, fit, "accuracy", raises_error=True)
    evaluator = mediator.compute_data_values([TracIn(checkpoint)]).data_evaluators[0]
    replay, expected = model.clone(), np.zeros(16)
    x, y, x_valid, y_valid, *_ = two_blobs.datapoints
    for epoch in range(3):
        replay.fit(x, y, **{**fit, "epochs": 1})
        if checkpoint == "all" or epoch == 2:
            gradients = [
                np.stack([torch.cat([part.flatten() for part in one]).numpy() for one in replay.grad(*data)])
                for data in ((x, y), (x_valid, y_valid))
            ]
            expected += 0.05 * gradients[0] @ gradients[1].mean(axis=0) / 16
    np.testing.assert_allclose(evaluator.data_values, expected, rtol=1e-3, atol=1e-8)


def test_opendatavals_regression_model_has_the_gradients_of_its_loss():
    """OpenDataVal computes those of cross-entropy for it, which fail."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 3, generator=generator), torch.randn(12, 1, generator=generator)
    torch.manual_seed(0)
    model, fit = RegressionMLP(3), {"epochs": 1, "lr": 0.02, "batch_size": 12}
    trained = model.clone().fit(x, y, **fit)
    products = np.zeros((12, 4))
    for i, j in np.ndindex(12, 4):
        losses = [functional.mse_loss(trained(x[k : k + 1]), y[k : k + 1]) for k in (i, j)]
        left, right = (torch.autograd.grad(loss, list(trained.parameters())) for loss in losses)
        products[i, j] = sum(float((a * b).sum()) for a, b in zip(left, right, strict=True))
    for evaluator, expected in ((InfluenceFunction(), products.sum(1)), (TracIn(), 0.02 * products.mean(1) / 12)):
        evaluator.input_data(x, y, x[:4], y[:4]).input_model_metric(model, neg_mse).train_data_values(**fit)
        np.testing.assert_allclose(evaluator.evaluate_data_values(), expected, rtol=1e-3, atol=1e-7)


def test_planted_label_noise_is_found(problem, model):
    from sklearn.metrics import roc_auc_score

    assert roc_auc_score(problem.corrupted, -value(problem, model, FIT)) > 0.7


def test_other_checkpoints_are_refused():
    with pytest.raises(ValueError, match="checkpoints is 'all' or 'last', not 'first'"):
        TracIn("first")
