"""LoGra with all directions against single gradients by autograd, and against the exact Gauss-Newton influence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_texts import counted, made_texts, tiny_model
from scipy.stats import spearmanr
from short_fits import FIT
from stepwise_problems import make, points
from torch import nn
from torch.nn import functional

from dvbench.errors import UserError
from dvbench.training.losses import point_losses
from dvbench.training.tensor_model import TensorModel
from evaluators import HessianInfluence, LoGra

HOW = {"epochs": 3, "batch_size": 8, "lr": 0.05}
TEXT_HOW = {"epochs": 2, "batch_size": 4, "lr": 0.01}


def values(model, train, validation, fit=HOW, evaluator=LoGra, **settings):
    made = evaluator(**{"random_state": 0, **settings})
    made.input_data(*train, *validation)
    made.input_model(model)
    return made.train_data_values(**fit).evaluate_data_values()


def expected_values(blocks, losses, mean_valid, n, damping):
    """The formula, with one gradient by autograd for each loss of a player; blocks are the parameters of each layer."""
    total = np.zeros(len(losses))
    for parameters in blocks:

        def flat(loss, parameters=parameters):
            return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters, retain_graph=True)])

        rows = torch.stack([flat(loss) for loss in losses])
        fisher = rows.T @ rows / n
        damped = fisher + damping * fisher.diagonal().mean() * torch.eye(len(fisher), dtype=torch.float64)
        total += (rows @ torch.linalg.solve(damped, flat(mean_valid)) / n).numpy()
    return total


@pytest.mark.parametrize("projection", ["pca", "random"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("network", ["logistic regression", "chain"])
def test_with_all_directions_it_is_the_formula_without_projections(network, outputs, projection):
    model, train, validation = make(network, outputs), points(outputs), points(outputs, 9, seed=1)
    trained = model.clone().fit(*train, **HOW).network.eval()
    blocks = [list(m.parameters()) for m in trained.modules() if isinstance(m, nn.Linear)]
    losses = list(point_losses(trained(train[0]), train[1]))
    mean_valid = point_losses(trained(validation[0]), validation[1]).mean()
    expected = expected_values(blocks, losses, mean_valid, 12, 0.3)
    actual = values(model, train, validation, rank=100, damping=0.3, projection=projection)
    np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-10)
    assert np.ptp(actual) > 1e-3


@pytest.mark.parametrize("projection", ["pca", "random"])
def test_of_texts_too(projection):
    """The layers of GPT-2's blocks, whose weights are transposed."""
    model, train, validation = tiny_model(), made_texts(9, 1), made_texts(5, 2)
    network = model.clone().fit(*train, **TEXT_HOW).network
    blocks = [list(layer.parameters()) for layer in network.transformer.h.modules() if type(layer).__name__ == "Conv1D"]
    assert len(blocks) == 8
    single = [tuple(part[i : i + 1] for part in train) for i in range(9)]
    losses = [functional.cross_entropy(*counted(network, *one), reduction="sum") for one in single]
    mean_valid = functional.cross_entropy(*counted(network, *validation))
    expected = expected_values(blocks, losses, mean_valid, len(counted(network, *train)[1]), 0.2)
    actual = values(model, train, validation, TEXT_HOW, rank=100, damping=0.2, projection=projection)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)
    assert np.ptp(actual) > 1e-3


def test_it_orders_points_as_the_exact_influence_does():
    """With all directions, on an MLP and many points: the Fisher matrix estimates the Gauss-Newton matrix."""
    model, train, validation = make("chain"), points(3, 300), points(3, 60, seed=1)
    fit = {"epochs": 10, "batch_size": 32, "lr": 0.01}
    exact = values(model, train, validation, fit, HessianInfluence, damping=0.01, layers="all")
    of_ranks = [spearmanr(values(model, train, validation, fit, rank=rank), exact)[0] for rank in (1, 3, 100)]
    assert of_ranks[2] > 0.85
    assert of_ranks[0] < of_ranks[1] < of_ranks[2]


def test_planted_label_noise_is_found(problem, model):
    from sklearn.metrics import roc_auc_score

    evaluator = LoGra(random_state=0).train(problem.fetcher(), model, problem.metric, **FIT)
    assert roc_auc_score(problem.corrupted, -evaluator.data_values) > 0.6


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="projection is 'pca' or 'random', not 'svd'"):
        LoGra(projection="svd")
    network = nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 3, 5), nn.Flatten()).double()
    with pytest.raises(UserError, match="has no linear layer that is trained; choose another evaluator"):
        values(TensorModel(network, "classification", 3, seed=1), points(3), points(3, 9, seed=1))
