"""The influence function with the Hessian, against autograd's Hessian and against retraining without each point."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from short_fits import FIT
from stepwise_problems import NETWORKS, make, points
from torch import nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call

from dvbench.errors import UserError
from dvbench.training.losses import point_losses
from dvbench.training.tensor_model import TensorModel
from evaluators import HessianInfluence, InfluenceFunction, hessian_influence

HOW = {"epochs": 3, "batch_size": 8, "lr": 0.05}


def values(model, train, validation, fit=HOW, **settings):
    evaluator = HessianInfluence(**settings)
    evaluator.input_data(*train, *validation)
    evaluator.input_model(model)
    return evaluator.train_data_values(**fit).evaluate_data_values()


def functions(network, names, x, y):
    """Logits and losses of points as functions of some parameters in one vector."""
    weights = {name: p.detach() for name, p in network.named_parameters()}

    def logits(flat):
        parts = flat.split([weights[name].numel() for name in names])
        chosen = {name: part.view(weights[name].shape) for name, part in zip(names, parts, strict=True)}
        return functional_call(network, {**weights, **chosen}, (x,))

    return logits, lambda flat: point_losses(logits(flat), y), torch.cat([weights[name].flatten() for name in names])


def expected_values(model, names, train, validation, damping, gauss_newton):
    trained = model.clone().fit(*train, **HOW).network.eval()
    logits, losses, flat = functions(trained, names, *train)
    if gauss_newton:
        by_weight = jacobian(logits, flat)  # (n, outputs, parameters)
        curved = [
            hessian(lambda one, label=label: point_losses(one[None], label[None]).sum(), point)
            for point, label in zip(logits(flat), train[1], strict=True)
        ]
        matrix = sum(j.T @ c @ j for j, c in zip(by_weight, curved, strict=True)) / len(train[0])
    else:
        matrix = hessian(lambda flat: losses(flat).mean(), flat)
    towards = jacobian(lambda flat: functions(trained, names, *validation)[1](flat).mean(), flat)
    solved = torch.linalg.solve(matrix + damping * torch.eye(len(flat)), towards)
    return (jacobian(losses, flat) @ solved / len(train[0])).numpy()


@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_of_a_linear_network_the_hessian_is_exact(outputs, layers):
    """Against the whole Hessian by autograd and a direct solution."""
    model, train = make("logistic regression", outputs), points(outputs)
    validation, names = points(outputs, 9, seed=1), [name for name, _ in model.network.named_parameters()]
    expected = expected_values(model, names, train, validation, 0.02, gauss_newton=False)
    actual = values(model, train, validation, damping=0.02, layers=layers)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-8)
    assert np.ptp(actual) > 1e-3


@pytest.mark.parametrize("network", ["chain", "other layers"])
@pytest.mark.parametrize("layers", ["last", "all"])
def test_of_other_networks_it_is_the_output_layers_or_gauss_newton(network, layers):
    """Against the Hessian of the output layer, and the Gauss-Newton matrix of all layers, built by autograd."""
    model, train, validation = make(network), points(3), points(3, 9, seed=1)
    names = [name for name, _ in model.network.named_parameters()]
    last = [name for name in names if name.split(".")[0] == names[-1].split(".")[0]]
    chosen = names if layers == "all" else last
    expected = expected_values(model, chosen, train, validation, 0.1, gauss_newton=layers == "all")
    np.testing.assert_allclose(
        values(model, train, validation, damping=0.1, layers=layers), expected, rtol=1e-5, atol=1e-8
    )


def minimum(x, y, weights, penalty, flat, steps):
    """Weights of a ridge-penalised logistic regression without a bias, by steps of Newton's method."""

    def objective(flat):
        losses = point_losses(x @ flat.view(3, -1).T, y)
        return (weights * losses).sum() / len(x) + penalty / 2 * flat.square().sum()

    for _ in range(steps):
        flat = flat - torch.linalg.solve(hessian(objective, flat), jacobian(objective, flat))
    return flat


def test_it_predicts_what_leaving_a_point_out_does():
    """Retraining to convergence without each point; damping is the ridge penalty's part of the Hessian."""
    (x, y), (x_valid, y_valid), penalty = points(3, 300), points(3, 30, seed=1), 0.1
    full = minimum(x, y, torch.ones(300), penalty, torch.zeros(15, dtype=torch.float64), 15)
    network = nn.Linear(5, 3, bias=False).double()
    with torch.no_grad():
        network.weight.copy_(full.view(3, -1))
    model = TensorModel(network, "classification", 3, seed=1)
    actual = values(model, (x, y), (x_valid, y_valid), {**HOW, "epochs": 0}, damping=penalty)

    def loss(flat):
        return float(point_losses(x_valid @ flat.view(3, -1).T, y_valid).mean())

    without = [minimum(x, y, torch.arange(300) != i, penalty, full, 4) for i in range(25)]
    left_out = [loss(flat) - loss(full) for flat in without]
    assert np.corrcoef(actual[:25], left_out)[0, 1] > 0.999
    assert np.polyfit(actual[:25], left_out, 1)[0] == pytest.approx(1, abs=0.05)


def test_with_much_damping_it_is_the_gradient_dot_product(problem, model):
    """The evaluator that has no Hessian: with a large damping the inverse is a multiple of the identity."""
    plain = InfluenceFunction().train(problem.fetcher(), model, problem.metric, **FIT).data_values
    damped = HessianInfluence(damping=1e6).train(problem.fetcher(), model, problem.metric, **FIT).data_values
    np.testing.assert_allclose(damped * 1e6 * 60 * 60, plain, rtol=1e-3, atol=1e-3 * np.abs(plain).max())
    exact = HessianInfluence().train(problem.fetcher(), model, problem.metric, **FIT).data_values
    assert np.corrcoef(exact, plain)[0, 1] < 0.99


def test_chunks_change_nothing(monkeypatch):
    model, train, validation = make("chain"), points(3), points(3, 9, seed=1)
    whole = values(model, train, validation, layers="all")
    monkeypatch.setattr(hessian_influence, "CHUNK", 5)
    np.testing.assert_allclose(values(model, train, validation, layers="all"), whole, rtol=1e-5, atol=1e-9)


def test_what_it_cannot_solve_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="damping is a finite number above 0"):
        HessianInfluence(damping=0)
    with pytest.raises(ValueError, match="layers is 'all' or 'last', not 'first'"):
        HessianInfluence(layers="first")
    monkeypatch.setattr(hessian_influence, "MOST_STEPS", 1)
    with pytest.raises(UserError, match="did not converge in 1 steps; raise damping"):
        values(make("chain"), points(3), points(3, 9, seed=1), damping=1e-6)
    assert set(NETWORKS) >= {"chain", "other layers"}
