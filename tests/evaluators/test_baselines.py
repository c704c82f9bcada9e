"""Known answers of OpenDataVal's evaluators, and data that they cannot value."""

from __future__ import annotations

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from opendataval.metrics import accuracy
from opendataval.model import LogisticRegression
from short_fits import FIT

from dvbench.randomness import random_state
from evaluators import ClassWiseShapley, DataOob, KNNShapley, Lava, LeaveOneOut
from evaluators.common.sampling import PermutationSampler


def test_data_oob_is_the_mean_accuracy_out_of_bag(problem, model, fetcher):
    values = DataOob(models=30, random_state=0).train(fetcher, model, accuracy, **FIT).data_values
    right, count = np.zeros(60), np.zeros(60)
    for bag in random_state(0).randint(0, 60, size=(30, 60)):
        out = np.setdiff1d(np.arange(60), bag)
        fitted = model.clone().fit(problem.train.x[bag], problem.train.y[bag], **FIT)
        hit = fitted.predict(problem.train.x[out]).argmax(1) == problem.train.y[out].argmax(1)
        right[out] += hit.numpy()
        count[out] += 1
    np.testing.assert_allclose(values, right / count, atol=1e-6)


@pytest.mark.parametrize("make", [KNNShapley, Lava, ClassWiseShapley])
def test_regression_is_refused_by_those_that_compare_classes(make):
    x, y = torch.zeros(6, 2), torch.zeros(6, 1)
    with pytest.raises(Exception, match="cannot value regression"):
        make().input_data(x, y, x, y)


def test_leave_one_out_is_the_utility_lost(problem, model, fetcher):
    values = LeaveOneOut(random_state=0).train(fetcher, model, accuracy, **FIT).data_values
    validation = problem.validation

    def utility(rows):
        fitted = model.clone().fit(problem.train.x[rows], problem.train.y[rows], **FIT)
        return accuracy(validation.y, fitted.predict(validation.x))

    order = random_state(0).permutation(60)
    expected = utility(np.arange(60)) - utility(np.delete(order, 0))
    assert values[order[0]] == pytest.approx(expected)


def test_opendatavals_models_take_our_sampler(two_blobs):
    """Its models cannot be fitted to nothing, which min_cardinality is for."""
    sampler = PermutationSampler(1, min_cardinality=3, random_state=0)
    values = stock.DataShapley(sampler=sampler).train(two_blobs, LogisticRegression(4, 2), epochs=1).data_values
    assert np.isfinite(values).all()


def test_knn_shapley_in_chunks_is_knn_shapley(problem, monkeypatch):
    import evaluators.baselines.knn_shapley as module

    x, y = problem.train.x, problem.train.y
    theirs = stock.KNNShapley(10).input_data(x, y, problem.validation.x, problem.validation.y).train_data_values()
    monkeypatch.setattr(module, "CHUNK_BYTES", 7 * module.PAIR_BYTES * len(x))
    ours = KNNShapley().input_data(torch.utils.data.Subset(x, range(60)), y, problem.validation.x, problem.validation.y)
    np.testing.assert_allclose(ours.train_data_values().evaluate_data_values(), theirs.data_values, atol=1e-6)
    assert len(ours.x_valid) == 60  # the data are as they were given
