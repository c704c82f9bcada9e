"""Side-by-side timings on the same work, one thread each; read the ratios, not the seconds."""

from __future__ import annotations

import pytest
import torch
from opendataval.metrics import accuracy
from opendataval.model import LogisticRegression

from dvbench.datasets import build_problem
from dvbench.models import build_model
from dvbench.settings import ModelSettings, Noise, Sizes
from evaluators import CHGShapley, UnlearningShapley

FIT = {"epochs": 10, "batch_size": 32, "lr": 0.01}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def problem():
    return build_problem("digits", Sizes(train=1000, reachable=300, test=400), Noise(kind="labels", rate=0.2), 0)


def ours(problem):
    return build_model(ModelSettings(name="logistic_regression"), problem.shape, 10, "classification", seed=0)


@pytest.mark.benchmark(group="one fit of logistic regression, 1,000 points, 10 epochs")
@pytest.mark.parametrize("which", ["dvbench", "opendataval"])
def test_fit(benchmark, problem, which):
    model = ours(problem) if which == "dvbench" else LogisticRegression(64, 10)
    subset = torch.utils.data.Subset(problem.train.x, range(1000))
    fitted = benchmark.pedantic(lambda: model.clone().fit(subset, problem.train.y, **FIT), rounds=5, warmup_rounds=1)
    assert problem.metric(problem.test.y, fitted.predict(problem.test.x)) > 0.7


@pytest.mark.benchmark(group="CHG Shapley and the training that it watches")
@pytest.mark.parametrize("which", ["training", "training and valuing"])
def test_chg(benchmark, problem, which):
    model = ours(problem)

    def run():
        if which == "training":
            return model.clone().fit(problem.train.x, problem.train.y, **FIT)
        return CHGShapley().train(fetcher, model, accuracy, **FIT)

    fetcher = problem.fetcher()
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="Unlearning Shapley, one permutation of 100 points, 20 steps a coalition")
@pytest.mark.parametrize("parameters", ["all", "head"])
def test_unlearning(benchmark, parameters):
    problem = build_problem("digits", Sizes(train=100, reachable=100, test=100), Noise(), 0)
    model = build_model(ModelSettings(name="mlp", params={"hidden": [64]}), (64,), 10, "classification", seed=0)

    def run():
        evaluator = UnlearningShapley(permutations=1, steps=20, parameters=parameters, random_state=0)
        return evaluator.train(problem.fetcher(), model, accuracy, **FIT)

    benchmark.pedantic(run, rounds=2, warmup_rounds=1)
