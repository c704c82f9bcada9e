"""Joint training of the models of OpenDataVal's evaluators, compared with OpenDataVal's own loops."""

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

from dvbench.training.stacks import LinearStack
from evaluators import (
    AME,
    BetaShapley,
    DataBanzhaf,
    DataOob,
    DataShapley,
    InfluenceSubsample,
    LeaveOneOut,
)
from evaluators.common.joint_training import train_jointly

BAGGED = [
    (DataBanzhaf, {"models": 30}, stock.DataBanzhaf, {"num_models": 30}),
    (InfluenceSubsample, {"models": 30}, stock.InfluenceSubsample, {"num_models": 30}),
    (DataOob, {"models": 30}, stock.DataOob, {"num_models": 30}),
    (LeaveOneOut, {}, stock.LeaveOneOut, {}),
    (AME, {"models": 8, "variant": "opendataval"}, stock.AME, {"num_models": 8}),
]


class SortedChoice(np.random.RandomState):
    """Sorts what it chooses: models of InfluenceSubsample are given their points in the order of the player numbers."""

    def choice(self, *args, **kwargs):
        return np.sort(super().choice(*args, **kwargs))


def values(evaluator, problem, model):
    return evaluator.train(problem.fetcher(), model, accuracy, **FIT).evaluate_data_values()


@pytest.mark.parametrize(
    ("ours", "params", "theirs", "stock_params"), BAGGED, ids=lambda part: getattr(part, "__name__", "")
)
def test_same_coalitions_same_estimates_as_opendatavals_class(ours, params, theirs, stock_params, problem, model):
    expected = values(theirs(**stock_params, random_state=SortedChoice(4)), problem, model)
    fits = model.fits.count
    evaluator = ours(**params, random_state=np.random.RandomState(4))
    np.testing.assert_allclose(values(evaluator, problem, model), expected, atol=1e-6)
    assert np.ptp(expected) > 0 or ours is AME
    assert model.fits.count == 2 * fits
    np.testing.assert_allclose(evaluator.pred_model.seed, model.seed)  # the model is back in its place


@pytest.mark.parametrize("make", [DataShapley, BetaShapley])
def test_sampled_semivalues_equal_those_of_models_fitted_one_by_one(make, problem, model, monkeypatch):
    first = values(make(permutations=1, random_state=np.random.RandomState(0)), problem, model)
    fits = model.fits.count
    monkeypatch.setattr("evaluators.common.sampling.train_jointly", lambda owner, run: run())
    second = values(make(permutations=1, random_state=np.random.RandomState(0)), problem, model)
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert model.fits.count == 2 * fits


def test_models_that_are_not_ours_are_fitted_by_opendatavals_loop(two_blobs):
    """Their own training shuffles from torch's global generator, so only shapes can be compared."""
    evaluator = DataBanzhaf(models=20, random_state=0)
    evaluator.train(two_blobs, LogisticRegression(4, 2), accuracy, epochs=1)
    assert evaluator.evaluate_data_values().shape == (16,)


def test_two_objects_share_nothing_and_a_second_training_starts_anew(problem, model):
    evaluator = DataBanzhaf(models=20, random_state=3)
    first = values(evaluator, problem, model)
    values(DataBanzhaf(models=20, random_state=5), problem, model)
    smaller = problem.fetcher()
    smaller.x_train, smaller.y_train = smaller.x_train[:20], smaller.y_train[:20]
    evaluator.train(smaller, model, accuracy, **FIT)
    assert evaluator.evaluate_data_values().shape == (20,)
    np.testing.assert_array_equal(first, values(DataBanzhaf(models=20, random_state=3), problem, model))


def test_predictions_of_a_large_validation_set_are_computed_for_one_model_at_a_time(problem, model, monkeypatch):
    first = values(DataShapley(permutations=1, random_state=0), problem, model)
    monkeypatch.setattr("evaluators.common.joint_training.PREDICTED_NUMBERS", 0)
    asked = []
    outputs = LinearStack.all_outputs
    monkeypatch.setattr(LinearStack, "all_outputs", lambda self, x: asked.append(self.copies) or outputs(self, x))
    np.testing.assert_array_equal(values(DataShapley(permutations=1, random_state=0), problem, model), first)
    assert set(asked) == {1}


class ChangingCoalitions(stock.DataEvaluator, stock.ModelMixin):
    """Fits a coalition that depends on the predictions of the model before, which the first run cannot know."""

    def __init__(self, random_state):
        self.random_state = random_state

    def train_data_values(self, *args, **kwargs):
        def run():
            members = np.arange(5)
            for _ in range(2):
                model = self.pred_model.clone()
                model.fit(Subset(self.x_train, members), Subset(self.y_train, members), **kwargs)
                members = np.arange(3 + int(model.predict(self.x_valid).amax() > 0.2))

        return train_jointly(self, run)

    def evaluate_data_values(self):
        return np.zeros(len(self.x_train))


def test_coalitions_that_depend_on_models_are_refused(problem, model):
    with pytest.raises(RuntimeError, match="other coalitions in its second run than in its first"):
        ChangingCoalitions(np.random.RandomState(0)).train(problem.fetcher(), model, accuracy, **FIT)


class UnsupportedUse(stock.DataEvaluator, stock.ModelMixin):
    """Uses a model in a way that the stand-ins of the first run do not support."""

    def __init__(self, way):
        self.way, self.random_state = way, np.random.RandomState(0)

    def train_data_values(self, *args, **kwargs):
        def run():
            model = self.pred_model.clone()
            model.fit(Subset(self.x_train, range(5)), Subset(self.y_train, range(5)), **kwargs)
            self.predicted = self.way(model, self.x_valid)

        train_jointly(self, run)
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
def test_unsupported_uses_get_models_fitted_one_by_one(way, problem, model):
    evaluator = UnsupportedUse(way).train(problem.fetcher(), model, accuracy, **FIT)
    alone = model.clone().fit(problem.train.x[:5], problem.train.y[:5], **FIT)
    torch.testing.assert_close(evaluator.predicted, way(alone, problem.validation.x))
    assert type(evaluator.pred_model) is type(model)


def test_the_model_comes_back_when_training_fails(problem, model):
    evaluator = DataBanzhaf(models=20, random_state=0)
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


class OtherUse(stock.DataEvaluator, stock.ModelMixin):
    """Uses its models in another way than fit once to a subset, then predict."""

    def __init__(self, use, random_state):
        self.use, self.random_state = use, random_state

    def train_data_values(self, *args, **kwargs):
        sets = [np.arange(4), np.arange(7, 20), np.array([3, 30, 11])]
        self.predicted = train_jointly(self, lambda: [self.use(self, self.pred_model, each, **kwargs) for each in sets])

    def evaluate_data_values(self):
        return np.zeros(len(self.x_train))


@pytest.mark.parametrize("use", [slices, other_labels, weights, ever_longer, unfitted, two_alive])
def test_models_used_in_other_ways_are_fitted_one_by_one(use, problem, model, monkeypatch):
    predicted = OtherUse(use, np.random.RandomState(0)).train(problem.fetcher(), model, accuracy, **FIT).predicted
    monkeypatch.setattr(sys.modules[__name__], "train_jointly", lambda evaluator, run: run())
    expected = OtherUse(use, np.random.RandomState(0)).train(problem.fetcher(), model, accuracy, **FIT).predicted
    for one, other in zip(predicted, expected, strict=True):
        torch.testing.assert_close(one, other)
