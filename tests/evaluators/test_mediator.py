"""Every evaluator under OpenDataVal's ExperimentMediator with OpenDataVal's models.

The mediator turns an evaluator's exception into a warning and leaves the evaluator out, so these tests compare the
evaluators that it returns with those that it was given.
"""

from __future__ import annotations

import warnings

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from opendataval.dataloader import DataFetcher
from opendataval.experiment import ExperimentMediator
from opendataval.model import (
    ClassifierMLP,
    ClassifierSkLearnWrapper,
    ClassifierUnweightedSkLearnWrapper,
    LeNet,
    LogisticRegression,
    RegressionMLP,
    RegressionSkLearnWrapper,
    TorchClassMixin,
    TorchGradMixin,
    TorchPredictMixin,
)
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from what_evaluators_take import CLASSES_ONLY, TEXTS_ONLY

from dvbench.errors import UserError
from dvbench.randomness import isolated_generators
from dvbench.registry import entries

PLAYERS = 21
FIT = {"epochs": 3, "batch_size": 4, "lr": 0.02}  # the last minibatch of 21 points has one point
METHOD = {"name": "gradient_ascent", "steps": 3, "lr": 0.05}
BUDGETS = {
    "ame": {"models": 60},
    "beta_shapley": {"permutations": 1},
    "class_wise_shapley": {"permutations": 1},
    "data_banzhaf": {"models": 20},
    "data_oob": {"models": 20},
    "data_shapley": {"permutations": 1},
    "dvrl": {"rl_epochs": 3, "rl_batch_size": 8},
    "fw_shapley": {"utilities": 30, "steps": 20},
    "influence_subsample": {"models": 30},
    "partial_unlearning_shapley": {"method": METHOD, "utility": "log_loss"},
    "robust_volume_shapley": {"permutations": 1},
    "unlearning_shapley": {"method": METHOD, "utility": "log_loss", "sampling": {"permutations": 2}},
    "warm_start_shapley": {"permutations": 2},
}
REPLAY = {"adam_trac_in", "metagradient"}
NEED_NETWORKS = REPLAY | {
    "chg_shapley", "gradient_shapley", "hardness_shapley", "hessian_influence", "in_run_data_shapley",
    "influence_function", "logra", "partial_unlearning_shapley", "trac_in", "unlearning_shapley",
}  # fmt: skip


class NormalisedMLP(TorchClassMixin, TorchPredictMixin, TorchGradMixin):
    """A user's model of OpenDataVal, with batch normalisation."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.num_classes = classes
        self.layers = nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))

    def forward(self, x):
        return self.layers(x).softmax(dim=1)


def fetcher(classes, shape=(4,)):
    """Three sets of points that overlap; one class means regression."""
    rng = np.random.default_rng(1)
    parts = []
    for count in (PLAYERS, 50, 20):
        if classes == 1:
            x = rng.normal(size=(count, 4))
            y = x @ np.array([[1.0], [2.0], [-1.0], [0.5]]) + rng.normal(size=(count, 1))
        else:
            labels = np.arange(count) % classes
            x, y = rng.normal(size=(count, 4)) + np.eye(4)[labels], np.eye(classes)[labels]
            if shape != (4,):
                x = rng.normal(size=(count, *shape)) + labels.reshape(-1, *[1] * len(shape))
        parts += [x, y]
    return DataFetcher.from_data_splits(*parts, one_hot=classes > 1, random_state=np.random.RandomState(0))


CASES = {
    "ClassifierMLP": (3, lambda: ClassifierMLP(4, 3), FIT, set()),
    "LogisticRegression": (3, lambda: LogisticRegression(4, 3), FIT, set()),
    "LogisticRegression, two classes": (2, lambda: LogisticRegression(4, 2), FIT, set()),
    "batch normalisation": (3, lambda: NormalisedMLP(4, 3), FIT, REPLAY),
    "LeNet": (3, lambda: LeNet(3), FIT | {"epochs": 10}, REPLAY | {"influence_function", "trac_in"}),
    "RegressionMLP": (1, lambda: RegressionMLP(4), FIT, CLASSES_ONLY),
    "scikit-learn": (3, lambda: ClassifierSkLearnWrapper(SklearnLogisticRegression, 3), {}, NEED_NETWORKS),
    "scikit-learn without weights": (
        3,
        lambda: ClassifierUnweightedSkLearnWrapper(KNeighborsClassifier, 3, 3),
        {},
        NEED_NETWORKS,
    ),
    "scikit-learn, regression": (
        1,
        lambda: RegressionSkLearnWrapper(Ridge),
        {},
        CLASSES_ONLY | NEED_NETWORKS,
    ),
}
SHAPES = {"LeNet": [(1, 16, 16)]}


def evaluators(names):
    return {
        name: entries("evaluators")[name].load()(**BUDGETS.get(name, {}), random_state=np.random.RandomState(0))
        for name in names
    }


def computed(case, given, **how):
    """The mediator after it has trained these evaluators."""
    classes, make, fit, _ = CASES[case]
    with isolated_generators(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points = fetcher(classes, *SHAPES.get(case, ()))
        return ExperimentMediator(points, make(), fit, **how).compute_data_values(given)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_evaluator_comes_back_with_values(case):
    refused = CASES[case][3]
    made = evaluators(sorted(entries("evaluators")))
    mediator = computed(case, list(made.values()))
    returned = [
        name for name, evaluator in made.items() if any(evaluator is other for other in mediator.data_evaluators)
    ]
    assert set(made) - set(returned) == refused | TEXTS_ONLY
    for name in returned:
        values = made[name].data_values
        assert values.shape == (PLAYERS,), name
        assert np.isfinite(values).all(), name
        assert np.ptp(values) > 0, name


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case, (*_, refused) in CASES.items() for name in sorted(refused)]
)
def test_what_is_not_defined_is_refused_in_one_line(case, name):
    with pytest.raises(UserError, match=r"; choose another") as error:
        computed(case, list(evaluators([name]).values()), raises_error=True)
    assert "\n" not in str(error.value)


# What happens without the mends: faults of OpenDataVal


def test_opendatavals_gradients_fail_on_its_own_regression_model():
    theirs = stock.InfluenceFunction()
    assert computed("RegressionMLP", [theirs]).data_evaluators == []
    with pytest.raises(AttributeError, match="num_classes"):
        computed("RegressionMLP", [theirs], raises_error=True)


@pytest.mark.parametrize("case", ["ClassifierMLP", "RegressionMLP"])
def test_opendatavals_networks_cannot_be_fitted_to_the_empty_coalition(case):
    sampler = stock.TMCSampler(mc_epochs=1, min_cardinality=0, cache_name=None)
    with pytest.raises(ValueError, match="num_samples=0"):
        computed(case, [stock.DataShapley(sampler=sampler)], raises_error=True)


@pytest.mark.parametrize("make", [stock.LeaveOneOut, stock.InfluenceFunction])
def test_opendatavals_training_fails_on_a_last_minibatch_of_one_point(make):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        computed("batch normalisation", [make()], raises_error=True)


def test_a_wrapper_fitted_to_one_class_predicts_the_first_class():
    """Not mended here, because a model is the user's: coalitions of one class get the utility of another class."""
    model = ClassifierSkLearnWrapper(SklearnLogisticRegression, 3).fit(torch.zeros(4, 2), torch.eye(3)[[2, 2, 2, 2]])
    assert model.predict(torch.zeros(1, 2)).argmax() == 0  # the fault
