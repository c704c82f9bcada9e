"""The influence with EK-FAC: exact where it must be, near the exact one of an MLP, and of texts by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_texts import counted, made_texts, tiny_model, token_logits, tokens_of
from scipy.stats import spearmanr
from stepwise_problems import make, points
from torch.nn import functional

from dvbench.errors import UserError
from dvbench.training.losses import point_losses
from evaluators import HessianInfluence
from evaluators.common import linear_layers

HOW = {"epochs": 3, "batch_size": 8, "lr": 0.05}
TEXT_HOW = {"epochs": 2, "batch_size": 4, "lr": 0.01}


def values(model, train, validation, fit=HOW, **settings):
    made = HessianInfluence(**{"random_state": 0, **settings})
    made.input_data(*train, *validation)
    made.input_model(model)
    return made.train_data_values(**fit).evaluate_data_values()


def test_of_linear_regression_it_is_exact():
    """Known answer: all gradients of the output are 1, so that the matrix is one Kronecker product."""
    model, train, validation = make("logistic regression", 1), points(1), points(1, 9, seed=1)
    exact, approximate = (
        values(model, train, validation, damping=0.02, curvature=curvature) for curvature in ("exact", "ekfac")
    )
    np.testing.assert_allclose(approximate, exact, rtol=1e-5, atol=1e-9)
    assert np.ptp(exact) > 1e-3


def test_of_an_mlp_it_is_near_the_exact_gauss_newton_influence():
    model, train, validation = make("chain"), points(3, 300), points(3, 60, seed=1)
    fit = {"epochs": 10, "batch_size": 32, "lr": 0.01}
    exact = values(model, train, validation, fit, layers="all", damping=0.01)
    approximate = values(model, train, validation, fit, layers="all", damping=0.01, curvature="ekfac")
    plain = values(model, train, validation, fit, layers="all", damping=1e6)  # the gradient dot product
    assert np.corrcoef(approximate, exact)[0, 1] > 0.8
    assert spearmanr(approximate, exact)[0] > spearmanr(plain, exact)[0] + 0.1


def eigenbasis(a, d, gradients):
    """Eigenvectors of both second moments, and the mean square of gradients in that basis."""
    left, right = (torch.linalg.eigh(part.T @ part)[1] for part in (d, a))
    return left, right, sum((left.T @ gradient @ right) ** 2 for gradient in gradients)


@pytest.mark.parametrize("damping", [None, 0.03])
def test_of_points_it_is_its_definition(damping):
    """One layer, one gradient by autograd for each point and label, weighted by the label's probability."""
    model, train, validation = make("logistic regression"), points(3), points(3, 9, seed=1)
    network = model.clone().fit(*train, **HOW).network.eval()
    logits, labels = network(train[0]), torch.eye(3).double()

    def matrix(loss):
        weight, bias = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        return torch.cat([weight, bias[:, None]], dim=1)

    pairs = [(i, label) for i in range(12) for label in range(3)]
    p = logits.softmax(dim=1).detach()
    roots = [float(p[i, label].sqrt()) for i, label in pairs]
    gradients = [
        root * matrix(point_losses(logits[i : i + 1], labels[label : label + 1]).sum())
        for root, (i, label) in zip(roots, pairs, strict=True)
    ]
    a = torch.cat([train[0], torch.ones(12, 1)], dim=1)
    d = torch.stack([root * (p[i] - labels[label]) for root, (i, label) in zip(roots, pairs, strict=True)])
    left, right, squares = eigenbasis(a, d, gradients)
    curvature = squares / 12
    curvature = curvature + (0.1 * curvature.mean() if damping is None else damping)
    towards = matrix(point_losses(network(validation[0]), validation[1]).mean())
    solved = left @ ((left.T @ towards @ right) / curvature) @ right.T
    expected = [float((matrix(loss) * solved).sum()) / 12 for loss in point_losses(logits, train[1])]
    actual = values(model, train, validation, damping=damping, curvature="ekfac")
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


def test_of_texts_it_is_its_definition(monkeypatch):
    """With the most likely token in place of a drawn one: one gradient by autograd for each text and layer."""

    def most_likely(generator):
        def rule(logits, chunk):
            p, chosen = logits.softmax(dim=1), logits.argmax(dim=1)
            return 0.0, p - functional.one_hot(chosen, p.shape[1])

        return rule

    monkeypatch.setattr(linear_layers, "_drawn", most_likely)
    model, train, validation = tiny_model(layers=1), made_texts(9, 1), made_texts(5, 2)
    network = model.clone().fit(*train, **TEXT_HOW).network
    layers = [m for m in network.transformer.h.modules() if type(m).__name__ == "Conv1D"]
    n, expected = len(counted(network, *train)[1]), np.zeros(9)
    single = [tuple(part[i : i + 1] for part in train) for i in range(9)]
    own = [functional.cross_entropy(*counted(network, *one), reduction="sum") for one in single]
    likely = [
        functional.cross_entropy(s := counted(network, *one)[0], s.argmax(dim=1), reduction="sum") for one in single
    ]
    mean_valid = functional.cross_entropy(*counted(network, *validation))
    for layer in layers:

        def matrix(loss, layer=layer):
            weight, bias = torch.autograd.grad(loss, [layer.weight, layer.bias], retain_graph=True)
            return torch.cat([weight.T, bias[:, None]], dim=1)

        a, d = positions(network, layer, train)
        left, right, squares = eigenbasis(a, d, [matrix(loss) for loss in likely])
        curvature = squares / n
        solved = left @ ((left.T @ matrix(mean_valid) @ right) / (curvature + 0.1 * curvature.mean())) @ right.T
        expected += [float((matrix(loss) * solved).sum()) / n for loss in own]
    np.testing.assert_allclose(values(model, train, validation, TEXT_HOW), expected, rtol=1e-6, atol=1e-9)


def positions(network, layer, train):
    """Inputs of a layer, with ones, and gradients of its outputs at the tokens that the loss depends on."""
    entering, slopes = [], []
    for row, begin in zip(*train, strict=True):
        calls = []
        hook = layer.register_forward_hook(lambda _, inputs, output, calls=calls: calls.append((inputs[0], output)))
        logits = token_logits(network, torch.tensor(tokens_of(row)))[0][int(begin) - 1 :]
        hook.remove()
        loss = functional.cross_entropy(logits, logits.argmax(dim=1), reduction="sum")
        slope = torch.autograd.grad(loss, calls[0][1])[0][0]
        kept = slope.ne(0).any(dim=1)
        entering.append(calls[0][0][0][kept].detach())
        slopes.append(slope[kept])
    a = torch.cat(entering)
    return torch.cat([a, torch.ones(len(a), 1)], dim=1), torch.cat(slopes)


def test_drawn_tokens_repeat_and_have_the_models_distribution():
    model, train, validation = tiny_model(), made_texts(9, 1), made_texts(5, 2)
    first, again, other = (values(model, train, validation, TEXT_HOW, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    rule = linear_layers._drawn(torch.Generator().manual_seed(0))
    logits = torch.tensor([1.0, 2.0, 0.0]).expand(20000, 3)
    _, slope = rule(logits.clone(), slice(None))
    np.testing.assert_allclose(slope.mean(dim=0), 0, atol=0.02)
    np.testing.assert_allclose(slope.square().mean(dim=0), (p := logits[0].softmax(dim=0)) * (1 - p), atol=0.02)


def test_chunks_and_layers(monkeypatch):
    model, train, validation = make("chain"), points(3), points(3, 9, seed=1)
    how = {"curvature": "ekfac", "layers": "all"}
    whole = values(model, train, validation, **how)
    last = values(model, train, validation, curvature="ekfac", layers="last")
    assert np.abs(whole - last).max() > 1e-4
    monkeypatch.setattr(linear_layers, "CHUNK", 5)
    np.testing.assert_allclose(values(model, train, validation, **how), whole, rtol=1e-9, atol=1e-12)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="curvature is 'exact' or 'ekfac', not 'kfac'"):
        HessianInfluence(curvature="kfac")
    with pytest.raises(UserError, match='values texts with curvature = "ekfac" only'):
        values(tiny_model(), made_texts(4, 1), made_texts(4, 2), TEXT_HOW, curvature="exact")
