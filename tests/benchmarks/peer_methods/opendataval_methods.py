"""OpenDataVal's methods with its own training loop: ``python opendataval_methods.py FOLDER``."""

from __future__ import annotations

import numpy as np
import opendataval.dataval as stock
import torch
import torch.nn.functional as F
from clock import BAGS, NEIGHBOURS, PERMUTATIONS, SETTINGS, Arrays, Converged, run
from opendataval.dataval.margcontrib.sampler import MonteCarloSampler
from opendataval.metrics import accuracy
from opendataval.model import ClassifierSkLearnWrapper, LogisticRegression

from evaluators.common.sampling import PermutationSampler


class Logistic(LogisticRegression):
    """OpenDataVal's logistic regression without the sigmoid before its softmax: the model of dvbench."""

    fits = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)

    def fit(self, *args, **kwargs):
        Logistic.fits += 1
        return super().fit(*args, **kwargs)


def valued(evaluator, model, data: Arrays, **settings):
    """Values and fits. OpenDataVal draws weights and minibatches from torch's global generator."""
    before = Logistic.fits + Converged.fits
    classes = int(data.y.max()) + 1
    targets = [F.one_hot(torch.from_numpy(labels), classes).float() for labels in (data.y, data.y_valid)]
    x, x_valid = (torch.from_numpy(part) for part in (data.x, data.x_valid))
    evaluator.input_data(x, targets[0], x_valid, targets[1])
    if model is not None:
        evaluator.input_model_metric(model, accuracy)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        evaluator.train_data_values(**settings)
    return np.asarray(evaluator.evaluate_data_values()), Logistic.fits + Converged.fits - before


def sampler(game: str) -> MonteCarloSampler:
    return MonteCarloSampler(PERMUTATIONS[game], cache_name=None, random_state=0)


def adam(make):
    def value(data: Arrays):
        return valued(make(), Logistic(data.x.shape[1], int(data.y.max()) + 1), data, **SETTINGS)

    return value


def data_shapley(data: Arrays):
    model = ClassifierSkLearnWrapper(Converged, 2)
    return valued(stock.DataShapley(sampler("converged")), model, data)


def class_wise():
    """With dvbench's sampler, because a sampler of OpenDataVal keeps the contributions of the first class."""
    return stock.ClassWiseShapley(sampler=PermutationSampler(PERMUTATIONS["class_wise"], random_state=0))


run(
    "opendataval",
    {
        "data_shapley": ("breast_cancer", data_shapley),
        "data_shapley_adam": ("digits_200", adam(lambda: stock.DataShapley(sampler("adam")))),
        "class_wise_shapley": ("digits_200", adam(class_wise)),
        "dvrl": ("digits_200", adam(lambda: stock.DVRL(rl_epochs=30, rl_batch_size=200, random_state=0))),
        "data_oob": ("digits_200", adam(lambda: stock.DataOob(BAGS, random_state=0))),
        "knn_shapley": ("table", lambda data: valued(stock.KNNShapley(NEIGHBOURS), None, data)),
    },
)
