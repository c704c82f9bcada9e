"""In-Run Data Shapley against gradients of single points by `torch.func`, and exact Shapley values of a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from short_fits import FIT
from stepwise_problems import NETWORKS, make, points
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call, grad, vmap

from dvbench.errors import UserError
from dvbench.games import exact_shapley_values
from dvbench.training.losses import point_losses
from dvbench.training.tensor_model import TensorModel, seeded
from evaluators import InRunDataShapley

STEP = {"batch_size": 64, "lr": 0.05}  # more than there are points: an epoch is one step


class Scaled(nn.Module):
    """A layer with parameters of its own, which a ghost product does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


def values(model, train, validation, fit, **settings):
    evaluator = InRunDataShapley(validation_batch=len(validation[0]), random_state=0, **settings)
    evaluator.input_data(*train, *validation)
    evaluator.input_model(model)
    return evaluator.train_data_values(**fit).evaluate_data_values()


def brute_force(model, train, validation, fit, order, chosen):
    """Values of one step at the present weights, from gradients of single points and the whole Hessian."""
    weights = {name: p.detach() for name, p in model.network.named_parameters()}
    fixed = {name: p for name, p in weights.items() if name not in chosen}
    sizes = [weights[name].numel() for name in chosen]

    def named(flat):
        parts = flat.split(sizes)
        return {**fixed, **{name: part.view(weights[name].shape) for name, part in zip(chosen, parts, strict=True)}}

    def loss(flat, x, y):
        return point_losses(functional_call(model.network, named(flat), (x,)), y).mean()

    def of_point(flat, x, y):
        return loss(flat, x[None], y[None])

    flat = torch.cat([weights[name].flatten() for name in chosen])
    gradients = vmap(grad(of_point), in_dims=(None, 0, 0))(flat, *train) / len(train[0])
    direction = fit["lr"] * grad(loss)(flat, *validation)
    if order == 2:
        direction = direction - fit["lr"] ** 2 / 2 * hessian(
            lambda flat: loss(flat, *validation), flat
        ) @ gradients.sum(0)
    return (gradients @ direction).numpy()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("layers", ["all", "last"])
@pytest.mark.parametrize("network", NETWORKS)
def test_values_are_those_of_single_gradients_at_every_step(network, layers, order):
    """Brute force: torch.func's gradients of points and Hessian, at the weights before each of three steps."""
    model, train, validation = make(network), points(3), points(3, 9, seed=1)
    names = [name for name, _ in model.network.named_parameters()]
    last = [name for name in names if name.split(".")[0] == names[-1].split(".")[0]] if "." in names[-1] else names
    expected = sum(
        brute_force(
            model.clone().fit(*train, epochs=epochs, **STEP), train, validation, STEP, order,
            names if layers == "all" else last,
        )
        for epochs in range(3)
    )  # fmt: skip
    actual = values(model, train, validation, {**STEP, "epochs": 3}, order=order, layers=layers)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)
    assert np.ptp(actual) > 1e-4


def exact_step_values(model, train, validation, lr):
    """Shapley values by enumeration of the drop of the validation loss after a step on a coalition of the minibatch."""
    network, (x, y) = model.network, train
    weights = list(network.parameters())

    def loss(shifted, x, y):
        named = dict(zip([name for name, _ in network.named_parameters()], shifted, strict=True))
        return float(point_losses(functional_call(network, named, (x,)), y).mean())

    def utilities(coalitions):
        found = []
        for coalition in coalitions:
            total = point_losses(network(x[coalition]), y[coalition]).sum() / len(x)
            step = torch.autograd.grad(total, weights) if len(coalition) else [torch.zeros_like(p) for p in weights]
            shifted = [p.detach() - lr * g for p, g in zip(weights, step, strict=True)]
            found.append(loss([p.detach() for p in weights], *validation) - loss(shifted, *validation))
        return np.array(found)

    return exact_shapley_values(utilities, len(x))


def test_the_second_order_is_exact_for_linear_regression():
    """Known answer: the loss is quadratic, so that its expansion has no error. Enumeration of 2^7 coalitions."""
    model = make("logistic regression", 1)
    train, validation = points(1, 7), points(1, 6, seed=1)
    exact = exact_step_values(model, train, validation, 0.3)
    second = values(model, train, validation, {"batch_size": 7, "epochs": 1, "lr": 0.3}, order=2)
    np.testing.assert_allclose(second, exact, rtol=1e-9, atol=1e-12)
    first = values(model, train, validation, {"batch_size": 7, "epochs": 1, "lr": 0.3}, order=1)
    assert np.abs(first - exact).max() > 1e-3


@pytest.mark.parametrize(("order", "ratio"), [(1, 4), (2, 8)])
def test_the_error_of_the_expansion_shrinks_with_its_order(order, ratio):
    """Against enumeration: half the learning rate has an error of a quarter in first order, an eighth in second."""
    model, train, validation = make("other layers"), points(3, 6), points(3, 9, seed=1)
    errors = []
    for lr in (0.02, 0.01):
        actual = values(model, train, validation, {"batch_size": 6, "epochs": 1, "lr": lr}, order=order)
        errors.append(np.abs(actual - exact_step_values(model, train, validation, lr)).max())
    assert errors[0] / errors[1] == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("network", ["chain", "other layers"])
def test_minibatches_are_weighted_by_their_own_size(network):
    """The values of a step sum to the product of the minibatch's mean gradient; the last minibatch has two points."""
    model, train, validation = make(network), points(3), points(3, 9, seed=1)
    fit, drops, followed = {"batch_size": 5, "epochs": 2, "lr": 0.05}, [], model.clone()

    def add(rows, stack):
        loss = point_losses(followed.network(validation[0]), validation[1]).mean()
        towards = torch.autograd.grad(loss, list(followed.network.parameters()))
        drops.append((rows[0], sum(float((a * b[0]).sum()) for a, b in zip(towards, stack.gradients, strict=True))))

    followed.fit(*train, on_gradient=add, **fit)
    assert [len(rows) for rows, _ in drops] == [5, 5, 2] * 2
    assert values(model, train, validation, fit).sum() == pytest.approx(0.05 * sum(drop for _, drop in drops))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_images_of_one_step_sum_to_the_product_of_the_gradients(batch_norm):
    from dvbench.models.cnn import cnn

    network = seeded(lambda: cnn((1, 8, 8), 3, channels=2, batch_norm=batch_norm), 0).double()
    model, train = TensorModel(network, "classification", 3, seed=1), points(3, 8, (1, 8, 8))
    validation = points(3, 6, (1, 8, 8), seed=1)
    actual = values(model, train, validation, {**STEP, "epochs": 1})
    parameters = list(network.parameters())
    # Running statistics are updated by the step's own forward pass, before the validation set is evaluated.
    left = torch.autograd.grad(point_losses(network.train()(train[0]), train[1]).mean(), parameters)
    right = torch.autograd.grad(point_losses(network.eval()(validation[0]), validation[1]).mean(), parameters)
    assert actual.sum() == pytest.approx(0.05 * sum(float((a * b).sum()) for a, b in zip(left, right, strict=True)))
    if not batch_norm:
        names = [name for name, _ in network.named_parameters()]
        np.testing.assert_allclose(actual, brute_force(model, train, validation, STEP, 1, names), rtol=1e-9, atol=1e-14)


def test_validation_batches_use_every_point_before_they_begin_again():
    evaluator = InRunDataShapley(validation_batch=4, random_state=0)
    batches = evaluator._validation_batches(10)
    drawn = torch.cat([next(batches) for _ in range(5)]).tolist()
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert len(next(InRunDataShapley(validation_batch=40)._validation_batches(10))) == 10


def test_the_model_trains_as_without_observation_and_is_not_changed():
    model, train, validation = make("chain"), points(3), points(3, 9, seed=1)
    before = [p.clone() for p in model.parameters()]
    first = values(model, train, validation, {**STEP, "epochs": 2})
    np.testing.assert_array_equal(first, values(model, train, validation, {**STEP, "epochs": 2}))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.fits.count == 2
    plain, observed = (
        model.clone().fit(*train, epochs=2, on_gradient=hook, **STEP) for hook in (None, lambda *_: None)
    )
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), observed.parameters(), strict=True))


def test_planted_label_noise_is_found(problem, model):
    from sklearn.metrics import roc_auc_score

    evaluator = InRunDataShapley(random_state=0).train(problem.fetcher(), model, problem.metric, **FIT)
    assert roc_auc_score(problem.corrupted, -evaluator.data_values) > 0.7


def test_a_frozen_layer_has_no_part():
    model, train, validation = make("chain"), points(3), points(3, 9, seed=1)
    for parameter in model.network[1].parameters():
        parameter.requires_grad_(False)
    names = [name for name, p in model.network.named_parameters() if p.requires_grad]
    expected = brute_force(model, train, validation, STEP, 2, names)
    actual = values(model, train, validation, {**STEP, "epochs": 1}, order=2)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_an_unknown_layer_is_refused_and_the_last_layer_serves():
    network = nn.Sequential(nn.Linear(5, 6), Scaled(), nn.Linear(6, 3)).double()
    model, train, validation = TensorModel(network, "classification", 3, seed=1), points(3), points(3, 9, seed=1)
    with pytest.raises(UserError, match=r'Scaled is not known to be linear.*set layers to "last"'):
        values(model, train, validation, {**STEP, "epochs": 1})
    assert np.ptp(values(model, train, validation, {**STEP, "epochs": 1}, layers="last")) > 0


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="order is 1 or 2, not 3"):
        InRunDataShapley(order=3)
    with pytest.raises(ValueError, match="layers is 'all' or 'last', not 'first'"):
        InRunDataShapley(layers="first")
    with pytest.raises(UserError, match="there are none: set epochs"):
        values(make("chain"), points(3), points(3, seed=1), {**STEP, "epochs": 0})
