"""Baselines against OpenDataVal's own loop and its own model on the same work, one thread each: read the ratios."""

from __future__ import annotations

import time

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from opendataval.metrics import accuracy
from opendataval.model import LogisticRegression

from dvbench.problems.build import build_problem
from dvbench.settings import ModelSettings, Noise, Sizes
from dvbench.training.build import build_model
from evaluators import DVRL, ClassWiseShapley
from evaluators.common.sampling import PermutationSampler

FIT = {"epochs": 10, "batch_size": 32, "lr": 0.01}


@pytest.fixture(scope="module")
def digits():
    """As many validation points as players: OpenDataVal's class-wise Shapley takes rows of one from the other."""
    problem = build_problem("digits", Sizes(train=200, validation=200, test=400), Noise(kind="labels", rate=0.2), 0)
    x, x_valid = (part.x.flatten(1) for part in (problem.train, problem.validation))
    return x, problem.train.y, x_valid, problem.validation.y


def processor_seconds(evaluator, data, model) -> float:
    """Of the valuation alone."""
    evaluator.input_data(*data).input_model_metric(model, accuracy)
    started = time.process_time()
    with torch.random.fork_rng(devices=[]):  # OpenDataVal's models and DVRL reseed torch's global generator
        evaluator.train_data_values(**FIT)
    return time.process_time() - started


def compared(benchmark, slow, fast, data) -> float:
    """Run both evaluators in turns, the fast one with dvbench's logistic regression, and return the ratio."""
    model = build_model(ModelSettings(name="logistic_regression"), (64,), 10, "classification", seed=0)
    processor_seconds(fast(), data, model)
    rounds = [
        (processor_seconds(slow(), data, LogisticRegression(64, 10)), processor_seconds(fast(), data, model))
        for _ in range(2)
    ]
    theirs, ours = np.min(rounds, axis=0)
    benchmark.extra_info.update(opendataval_s=float(theirs), dvbench_s=float(ours), ratio=float(theirs / ours))
    benchmark.pedantic(processor_seconds, args=(fast(), data, model), rounds=1)
    return float(theirs / ours)


@pytest.mark.benchmark(group="baselines against OpenDataVal: logistic regression, 200 digits, 10 epochs, batch 32")
@pytest.mark.parametrize("variant", ["opendataval", "paper"])
def test_class_wise_shapley(benchmark, digits, variant):
    """One permutation of each class. The paper's variant is not in OpenDataVal, so only its model is."""

    def fast():
        return ClassWiseShapley(permutations=1, variant=variant, random_state=0)

    def slow():
        sampler = PermutationSampler(1, random_state=0)
        return fast() if variant == "paper" else stock.ClassWiseShapley(sampler=sampler)

    assert compared(benchmark, slow, fast, digits) > 20


@pytest.mark.benchmark(group="baselines against OpenDataVal: logistic regression, 200 digits, 10 epochs, batch 32")
@pytest.mark.parametrize(("batch", "least"), [(200, 4), (50, 2)])
def test_dvrl(benchmark, digits, batch, least):
    """Thirty steps. A step needs the fit of the step before, so models cannot be trained together."""

    def fast():
        return DVRL(30, batch, random_state=0)

    def slow():
        return stock.DVRL(rl_epochs=30, rl_batch_size=batch, random_state=0)

    assert compared(benchmark, slow, fast, digits) > least
