"""The batched engine against one model at a time, side by side on the same work, one thread each: read the ratios."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from opendataval.model import ClassifierMLP, LogisticRegression
from plain_loops import plain_unlearning
from side_by_side import compare, seconds
from torch.utils.data import Subset

from dvbench.errors import UserError
from dvbench.problems.build import build_problem
from dvbench.settings import ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from dvbench.training.utilities import model_utilities
from dvbench.unlearning.stacked_engine import StackedUnlearner
from dvbench.unlearning_methods.gradient_ascent import GradientAscent

FIT = {"epochs": 10, "batch_size": 32, "lr": 0.01}


def digits():
    return build_problem("digits", Sizes(train=1000, validation=300, test=400), Noise(kind="labels", rate=0.2), 0)


def images():
    try:
        sizes = Sizes(train=1000, validation=500, test=1000)
        return build_problem("fashion_mnist", sizes, Noise(kind="labels", rate=0.2), 0)
    except UserError as error:
        pytest.skip(str(error))


def stock_mlp(inputs, hidden):
    """OpenDataVal's MLP with one hidden layer, which it cannot build by itself: with fewer than three it raises."""
    network = ClassifierMLP(inputs, 10, layers=3, hidden_dim=hidden)
    del network.mlp[2:4]
    return network


FITS = {
    "logistic regression, 64 features": (
        "logistic_regression",
        {},
        digits,
        lambda: LogisticRegression(64, 10),
        25,
    ),
    "MLP 64-25-10": ("mlp", {"hidden": [25]}, digits, lambda: stock_mlp(64, 25), 25),
    "MLP 784-512-10": ("mlp", {}, images, lambda: stock_mlp(784, 512), 1.5),
}


@pytest.mark.benchmark(group="utilities: coalitions trained from scratch, 1,000 points, 10 epochs, batch 32")
@pytest.mark.parametrize("which", ["all but one", "prefixes"])
@pytest.mark.parametrize("title", FITS)
def test_utilities(benchmark, title, which):
    name, params, data, stock, target = FITS[title]
    problem, stock = data(), stock()
    shape = (problem.train.x[0].numel(),)
    x, valid = problem.train.x.flatten(1), problem.validation.x.flatten(1)
    model = build_model(ModelSettings(name=name, params=params), shape, 10, "classification", seed=0)
    assert [p.shape for p in stock.parameters()] == [p.shape for p in model.parameters()]
    count, sample = (4, 1) if target < 25 else (96, 8)
    if which == "prefixes":  # of a permutation: from a few points to all of them
        order = np.random.RandomState(0).permutation(1000)
        coalitions = [order[: 1000 * (2 * i + 1) // (2 * count)] for i in range(count)]
        # One of each eighth, from its middle: as many points in the mean.
        sample = min(8, count)
    else:
        coalitions = [np.delete(np.arange(1000), i) for i in range(count)]
    some = coalitions[count // sample // 2 :: count // sample]
    how = {**FIT, "lr": 1e-3}

    def slow():
        for coalition in some:
            one = stock.clone()
            one.fit(Subset(x, coalition), Subset(problem.train.y, coalition), **how)
            problem.metric(problem.validation.y, one.predict(valid))

    def fast():
        actual = np.empty(count)
        for numbers, models in model.fit_many(x, problem.train.y, coalitions, **how):
            actual[numbers] = model_utilities(problem.metric, problem.validation.y, models.all_outputs(valid))
        return actual

    one = model.clone().fit(x[coalitions[-1]], problem.train.y[coalitions[-1]], **how)
    assert fast()[-1] == problem.metric(problem.validation.y, one.predict(valid))
    together = model.at_once(x, **how)
    assert compare(benchmark, slow, fast, slow_units=sample, fast_units=count, together=together) > target


UNLEARNINGS = {
    "head of 64 features": ("head", 64, [], 96, 18),
    "head of 512 features": ("head", 512, [], 96, 12),
    "all of 784-512-10": ("all", 784, [512], 4, 1.5),
}


@pytest.mark.benchmark(group="unlearned coalitions: 100 steps, batch 32, both regularisers")
@pytest.mark.parametrize("what", UNLEARNINGS)
def test_unlearning(benchmark, what):
    parameters, width, hidden, count, target = UNLEARNINGS[what]
    rng = np.random.RandomState(0)
    x, x_validation = (torch.from_numpy(rng.normal(size=(n, width)).astype(np.float32)) for n in (1000, 500))
    y = F.one_hot(torch.from_numpy(rng.randint(0, 10, 1000)), 10).float()
    settings = ModelSettings(name="mlp", params={"hidden": hidden})
    network = build_model(settings, (width,), 10, "classification", seed=0).network
    ascent = GradientAscent(parameters=parameters)
    permutation = rng.permutation(1000)
    coalitions = [permutation[: 400 + i] for i in range(count)]
    unlearner = StackedUnlearner(network, x, y, x_validation, y[:500], ascent)

    def slow():
        return plain_unlearning(network, x, y, x_validation, coalitions[0], 0, ascent)(x_validation).detach()

    def fast():
        return torch.cat([logits for _, logits in unlearner.outputs_without(coalitions, 0)])

    torch.testing.assert_close(fast()[0].T, slow(), rtol=1e-2, atol=1e-3)
    layers = [a * b for a, b in zip([width, *hidden], [*hidden, 10], strict=True)]
    # Of both minibatches: forward, weights' gradients, and gradients of the inputs of all layers but the first.
    flop = ascent.steps * 2 * 2 * ascent.batch_size * (2 * sum(layers) + sum(layers[1:]))
    a = torch.rand(1024, 1024)
    ratio = compare(benchmark, slow, fast, fast_units=count, together=unlearner.at_once)
    # The limit in turns with what is held against it.
    rounds = [(seconds(fast) / count, seconds(lambda: [torch.mm(a, a) for _ in range(20)]) / 20) for _ in range(7)]
    reached = np.median([flop / time for time, _ in rounds])
    share = np.median([(flop / time) / (2 * 1024**3 / limit) for time, limit in rounds])
    benchmark.extra_info |= {"gflops": round(reached / 1e9, 1), "share_of_torch_mm": round(float(share), 2)}
    assert ratio > target


@pytest.mark.benchmark(group="unlearning against retraining, Fashion-MNIST, MLP 784-512-10")
@pytest.mark.parametrize("parameters", ["all", "head"])
@pytest.mark.parametrize("points", [1000, 20000])
def test_unlearning_against_retraining(benchmark, points, parameters):
    """Retraining: batch 32, 10 epochs. Unlearning: 100 steps, whatever the number of points."""
    problem = images()
    repeats = points // 1000
    x, y = problem.train.x.repeat(repeats, 1, 1, 1), problem.train.y.repeat(repeats, 1)
    model = build_model(ModelSettings(name="mlp"), problem.shape, 10, "classification", seed=0)
    how = {"batch_size": 32, "epochs": 1 if points > 1000 else 10, "lr": 3e-4}
    trained = model.clone().fit(x, y, **how)
    everybody = [np.arange(points)] * (1 if parameters == "all" else 16)
    unlearner = StackedUnlearner(
        trained, x, y, problem.validation.x, problem.validation.y, GradientAscent(parameters=parameters)
    )
    compare(
        benchmark,
        lambda: model.clone().fit(x, y, **how),
        lambda: list(unlearner.outputs_without(everybody, 0)),
        rounds=2,
        slow_units=how["epochs"] / 10,
        fast_units=len(everybody),
    )
