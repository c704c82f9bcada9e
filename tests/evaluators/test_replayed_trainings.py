"""Metagradient against finite differences of retraining, Adam TracIn against shares of AdamW's moments written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from short_fits import FIT
from stepwise_problems import make, points
from torch import nn
from torch.func import functional_call, grad, vmap

from dvbench.errors import DeclinedError, UserError
from dvbench.training.losses import point_losses
from dvbench.training.stack_training import stacked_minibatches
from dvbench.training.tensor_model import TensorModel
from evaluators import AdamTracIn, Metagradient
from evaluators.common import replay
from evaluators.common.replay import Replay

HOW = {"epochs": 3, "batch_size": 5, "lr": 0.02}  # 12 points: the last minibatch of an epoch has two
BOTH = [Metagradient, AdamTracIn]


def values(evaluator, model, train, validation, fit=HOW):
    made = evaluator()
    made.input_data(*train, *validation)
    made.input_model(model)
    return made.train_data_values(**fit).evaluate_data_values()


def validation_loss(model, validation):
    return point_losses(model.network.eval()(validation[0]), validation[1]).mean().detach()


@pytest.mark.parametrize(("network", "outputs"), [("logistic regression", 3), ("chain", 3), ("chain", 1)])
def test_metagradients_are_derivatives_of_retraining(network, outputs):
    """Finite differences: the model is trained again with `TensorModel.fit` and one weight changed."""
    model, train, validation = make(network, outputs), points(outputs), points(outputs, 9, seed=1)
    actual, small, expected = values(Metagradient, model, train, validation), 1e-5, []
    for i in range(12):
        change = small * torch.eye(12, dtype=torch.float64)[i]
        losses = [
            float(validation_loss(model.clone().fit(*train, sample_weight=1 + sign * change, **HOW), validation))
            for sign in (1, -1)
        ]
        expected.append((losses[1] - losses[0]) / (2 * small))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-8)
    assert np.ptp(actual) > 1e-4


def test_a_feature_that_is_always_zero_changes_nothing():
    """Its weights have no gradient, so that AdamW's second moment is 0, whose root has no derivative."""
    train, validation, model = points(3), points(3, 9, seed=1), make("logistic regression")
    wide = nn.Linear(6, 3).double()
    with torch.no_grad():
        wide.weight.zero_()[:, :5] = model.network.weight
        wide.bias.copy_(model.network.bias)
    padded = [(torch.nn.functional.pad(x, (0, 1)), y) for x, y in (train, validation)]
    for evaluator in BOTH:
        expected = values(evaluator, model, train, validation)
        actual = values(evaluator, TensorModel(wide, "classification", 3, seed=1), *padded)
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("network", ["logistic regression", "other layers"])
def test_adam_trac_in_splits_the_steps_among_points(network):
    """Brute force: the first moment of every point, from gradients of single points by torch.func."""
    model, train, validation = make(network), points(3), points(3, 9, seed=1)
    named = {name: p.detach().clone() for name, p in model.network.named_parameters()}

    def loss(weights, x, y):
        return point_losses(functional_call(model.network, weights, (x,)), y).mean()

    per_point = vmap(grad(lambda weights, x, y: loss(weights, x[None], y[None])), in_dims=(None, 0, 0))
    shares = {name: torch.zeros(12, *p.shape, dtype=torch.float64) for name, p in named.items()}
    second = {name: torch.zeros_like(p) for name, p in named.items()}
    expected, made = torch.zeros(12, dtype=torch.float64), 0.0
    minibatches = stacked_minibatches([torch.arange(12)], 5, 3, model.seed, train[0])
    for step, rows in enumerate((rows for steps, _ in minibatches for (rows,) in steps), 1):
        gradients, towards = per_point(named, train[0][rows], train[1][rows]), grad(loss)(named, *validation)
        for name, weights in list(named.items()):
            shares[name] = 0.9 * shares[name]
            shares[name][rows] += 0.1 * gradients[name] / len(rows)
            second[name] = 0.999 * second[name] + 0.001 * gradients[name].mean(dim=0) ** 2
            rate = 0.02 / (1 - 0.9**step) / ((second[name] / (1 - 0.999**step)).sqrt() + 1e-8)
            steps = (rate * shares[name]).flatten(1)
            expected += steps @ towards[name].flatten()
            named[name] = weights * (1 - 0.02 * model.weight_decay) - steps.sum(0).view(weights.shape)
            made += float(
                ((weights * (1 - 0.02 * model.weight_decay)) - named[name]).flatten() @ towards[name].flatten()
            )
    trained = model.clone().fit(*train, **HOW).network.state_dict()
    assert all(torch.allclose(named[name], trained[name], rtol=1e-9) for name in named)  # AdamW's own steps
    actual = values(AdamTracIn, model, train, validation)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-8, atol=1e-12)
    assert actual.sum() == pytest.approx(made)
    assert np.ptp(actual) > 1e-3


@pytest.mark.parametrize("every", [1, 2, 4, 9])
def test_states_come_in_reverse_order_and_end_where_fit_does(every):
    model, train = make("chain"), points(3)
    repeated = Replay("x", model, *train, 5, 3, 0.02)
    repeated.every = every
    states = list(repeated.backwards())
    assert [step for step, _ in states] == list(range(9, -1, -1))
    for epochs in range(4):
        trained = list(model.clone().fit(*train, **{**HOW, "epochs": epochs}).network.parameters())
        weights = states[9 - 3 * epochs][1].weights
        assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(weights, trained, strict=True))


@pytest.mark.parametrize("evaluator", BOTH)
def test_planted_label_noise_is_found(evaluator, problem, model):
    from sklearn.metrics import roc_auc_score

    made = evaluator(random_state=0).train(problem.fetcher(), model, problem.metric, **FIT)
    assert roc_auc_score(problem.corrupted, -made.data_values) > 0.6
    assert model.fits.count == 1


@pytest.mark.parametrize("evaluator", BOTH)
def test_what_cannot_be_replayed_is_refused(evaluator, monkeypatch):
    train, validation = points(3), points(3, 9, seed=1)
    for layer in (nn.BatchNorm1d(6), nn.Dropout(0.5)):
        network = nn.Sequential(nn.Linear(5, 6), layer, nn.Linear(6, 3)).double()
        with pytest.raises(DeclinedError, match="which batch normalisation and dropout do not allow; choose"):
            values(evaluator, TensorModel(network, "classification", 3, seed=1), train, validation)
    with pytest.raises(UserError, match="there are none: set epochs"):
        values(evaluator, make("chain"), train, validation, {**HOW, "epochs": 0})
    with pytest.raises(FloatingPointError, match="diverged at learning rate 1e"):
        values(evaluator, make("chain"), train, validation, {**HOW, "lr": 1e300})
    monkeypatch.setattr(replay, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"of weights of 9 steps, and at most .* choose a smaller model"):
        values(evaluator, make("chain"), train, validation)
