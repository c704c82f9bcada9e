"""OpenDataVal's evaluators with all their models trained together, against OpenDataVal's own loops."""

from __future__ import annotations

import numpy as np
import opendataval.dataval as stock
import pytest
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
from evaluators.baselines.joint_training import Together, together

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
    monkeypatch.setattr("evaluators.baselines.sampling.together", lambda owner, run: run())
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
                members = np.arange(3 + int(model.predict(self.x_valid).any()))

        return together(self, run)

    def evaluate_data_values(self):
        return np.zeros(len(self.x_train))


def test_coalitions_that_depend_on_models_are_refused(problem, model):
    with pytest.raises(RuntimeError, match="other coalitions than in rehearsal"):
        Restless(np.random.RandomState(0)).train(problem.fetcher(), model, accuracy, **FIT)


def test_the_model_comes_back_when_training_fails(problem, model):
    evaluator = data_banzhaf(models=3, random_state=0)
    with pytest.raises(FloatingPointError, match="training diverged"):
        evaluator.train(problem.fetcher(), model, accuracy, epochs=2, batch_size=8, lr=1e38)
    assert type(evaluator.pred_model) is type(model)
