"""OpenDataVal's evaluators with all their models trained together, against OpenDataVal's own loops."""

from __future__ import annotations

import sys

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from opendataval.metrics import accuracy
from opendataval.model import LogisticRegression
from short_fits import FIT
from torch.utils.data import Subset

from evaluators.baselines.ame import ame
from evaluators.baselines.beta_shapley import beta_shapley
from evaluators.baselines.class_wise_shapley import class_wise_shapley
from evaluators.baselines.data_banzhaf import data_banzhaf
from evaluators.baselines.data_oob import data_oob
from evaluators.baselines.data_shapley import data_shapley
from evaluators.baselines.influence_subsample import influence_subsample
from evaluators.baselines.leave_one_out import leave_one_out
from evaluators.common.joint_training import Together, together

BAGGED = [
    (data_banzhaf, {"models": 30}, stock.DataBanzhaf, {"num_models": 30}),
    (influence_subsample, {"models": 30}, stock.InfluenceSubsample, {"num_models": 30}),
    (data_oob, {"models": 10}, stock.DataOob, {"num_models": 10}),
    (leave_one_out, {}, stock.LeaveOneOut, {}),
    (ame, {"models": 8}, stock.AME, {"num_models": 8}),
]


def values(evaluator, problem, model):
    return evaluator.train(problem.fetcher(), model, accuracy, **FIT).evaluate_data_values()


@pytest.mark.parametrize(
    ("ours", "params", "theirs", "stock_params"), BAGGED, ids=lambda part: getattr(part, "__name__", "")
)
def test_same_coalitions_same_estimates_as_opendatavals_class(ours, params, theirs, stock_params, problem, model):
    expected = values(theirs(**stock_params, random_state=np.random.RandomState(4)), problem, model)
    fits = model.fits.count
    evaluator = ours(**params, random_state=np.random.RandomState(4))
    np.testing.assert_allclose(values(evaluator, problem, model), expected, atol=1e-6)
    assert np.ptp(expected) > 0 or ours is ame
    assert model.fits.count == 2 * fits
    np.testing.assert_allclose(evaluator.pred_model.seed, model.seed)  # the model is back in its place


@pytest.mark.parametrize("make", [data_shapley, beta_shapley, class_wise_shapley])
def test_sampled_semivalues_equal_those_of_models_fitted_one_by_one(make, problem, model, monkeypatch):
    first = values(make(permutations=1, random_state=np.random.RandomState(0)), problem, model)
    fits = model.fits.count
    monkeypatch.setattr("evaluators.common.sampling.together", lambda owner, run: run())
    second = values(make(permutations=1, random_state=np.random.RandomState(0)), problem, model)
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert model.fits.count == 2 * fits


def test_models_that_are_not_ours_are_fitted_by_opendatavals_loop(two_blobs):
    """Their own training shuffles from torch's global generator, so only shapes can be compared."""
    evaluator = data_banzhaf(models=3, random_state=0)
    evaluator.train(two_blobs, LogisticRegression(4, 2), accuracy, epochs=1)
    assert evaluator.evaluate_data_values().shape == (16,)


def test_two_objects_share_nothing_and_a_second_training_starts_anew(problem, model):
    evaluator = data_banzhaf(models=10, random_state=3)
    first = values(evaluator, problem, model)
    values(data_banzhaf(models=10, random_state=5), problem, model)
    smaller = problem.fetcher()
    smaller.x_train, smaller.y_train = smaller.x_train[:20], smaller.y_train[:20]
    evaluator.train(smaller, model, accuracy, **FIT)
    assert evaluator.evaluate_data_values().shape == (20,)
    np.testing.assert_array_equal(first, values(data_banzhaf(models=10, random_state=3), problem, model))


class Restless(Together, stock.DataEvaluator, stock.ModelMixin):
    """Fits what the last model tells it to, which no rehearsal can know."""

    def __init__(self, random_state):
        self.random_state = random_state

    def train_data_values(self, *args, **kwargs):
        def run():
            members = np.arange(5)
            for _ in range(2):
                model = self.pred_model.clone()
                model.fit(Subset(self.x_train, members), Subset(self.y_train, members), **kwargs)
                members = np.arange(3 + int(model.predict(self.x_valid).amax() > 0.2))

        return together(self, run)

    def evaluate_data_values(self):
        return np.zeros(len(self.x_train))


def test_coalitions_that_depend_on_models_are_refused(problem, model):
    with pytest.raises(RuntimeError, match="other coalitions than in rehearsal"):
        Restless(np.random.RandomState(0)).train(problem.fetcher(), model, accuracy, **FIT)


class Particular(Together, stock.DataEvaluator, stock.ModelMixin):
    """Does with its models what stand-ins cannot."""

    def __init__(self, way):
        self.way, self.random_state = way, np.random.RandomState(0)

    def train_data_values(self, *args, **kwargs):
        def run():
            model = self.pred_model.clone()
            model.fit(Subset(self.x_train, range(5)), Subset(self.y_train, range(5)), **kwargs)
            self.found = self.way(model, self.x_valid)

        together(self, run)
        return self

    def evaluate_data_values(self):
        return np.zeros(len(self.x_train))


def no_uniform_predictions(model, x):
    predicted = model.predict(x)
    if (predicted == predicted[0, 0]).all():
        raise ValueError("a model that knows nothing")
    return predicted


@pytest.mark.parametrize(
    "way", [lambda model, x: model.eval()(x).softmax(dim=1), no_uniform_predictions], ids=["calls", "looks"]
)
def test_what_stand_ins_cannot_do_is_done_with_one_model_after_the_other(way, problem, model):
    evaluator = Particular(way).train(problem.fetcher(), model, accuracy, **FIT)
    alone = model.clone().fit(problem.train.x[:5], problem.train.y[:5], **FIT)
    torch.testing.assert_close(evaluator.found, way(alone, problem.validation.x))
    assert type(evaluator.pred_model) is type(model)


def test_the_model_comes_back_when_training_fails(problem, model):
    evaluator = data_banzhaf(models=3, random_state=0)
    with pytest.raises(FloatingPointError, match="training diverged"):
        evaluator.train(problem.fetcher(), model, accuracy, epochs=2, batch_size=8, lr=1e38)
    assert type(evaluator.pred_model) is type(model)


def slices(self, model, members, **fit):
    return model.clone().fit(self.x_train[members], self.y_train[members], **fit).predict(self.x_valid)


def other_labels(self, model, members, **fit):
    x, y = Subset(self.x_train, members), Subset(self.y_train, members[::-1].copy())
    return model.clone().fit(x, y, **fit).predict(self.x_valid)


def weights(self, model, members, **fit):
    x, y = Subset(self.x_train, members), Subset(self.y_train, members)
    return model.clone().fit(x, y, sample_weight=torch.linspace(0, 1, len(members)), **fit).predict(self.x_valid)


def ever_longer(self, model, members, **fit):
    x, y = Subset(self.x_train, members), Subset(self.y_train, members)
    return model.clone().fit(x, y, **{**fit, "epochs": len(members)}).predict(self.x_valid)


def unfitted(self, model, members, **fit):
    return model.clone().predict(self.x_valid) if len(members) == 4 else slices(self, model, members, **fit)


def two_alive(self, model, members, **fit):
    x, y = Subset(self.x_train, members), Subset(self.y_train, members)
    first = model.clone().fit(x, y, **fit)
    model.clone().fit(self.x_train, self.y_train, **fit)
    return first.predict(self.x_valid)


class Odd(Together, stock.DataEvaluator, stock.ModelMixin):
    """Uses its models in some way of its own."""

    def __init__(self, use, random_state):
        self.use, self.random_state = use, random_state

    def train_data_values(self, *args, **kwargs):
        sets = [np.arange(4), np.arange(7, 20), np.array([3, 30, 11])]
        self.found = together(self, lambda: [self.use(self, self.pred_model, each, **kwargs) for each in sets])

    def evaluate_data_values(self):
        return np.zeros(len(self.x_train))


@pytest.mark.parametrize("use", [slices, other_labels, weights, ever_longer, unfitted, two_alive])
def test_models_used_in_other_ways_are_fitted_as_the_evaluator_says(use, problem, model, monkeypatch):
    found = Odd(use, np.random.RandomState(0)).train(problem.fetcher(), model, accuracy, **FIT).found
    monkeypatch.setattr(sys.modules[__name__], "together", lambda evaluator, run: run())
    expected = Odd(use, np.random.RandomState(0)).train(problem.fetcher(), model, accuracy, **FIT).found
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
