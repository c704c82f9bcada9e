"""Arrays go in and values come out, of every evaluator; data that do not fit are converted or refused in one line."""

from __future__ import annotations

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from opendataval.metrics import accuracy, neg_mse
from opendataval.model.logistic_regression import LogisticRegression
from opendataval.model.mlp import RegressionMLP
from torch import nn
from what_evaluators_take import CLASSES_ONLY, TEXTS_ONLY

from dvbench.errors import UserError
from dvbench.registry import entries
from evaluators import (
    CHGShapley,
    DataOob,
    DataShapley,
    GradientShapley,
    HardnessShapley,
    KNNShapley,
    PartialUnlearningShapley,
    Random,
    RobustVolumeShapley,
    TracIn,
    UnlearningShapley,
)
from evaluators.common.gradient_game import chg_shapley_values

SHORT = {
    "ame": {"models": 30}, "beta_shapley": {"permutations": 2}, "class_wise_shapley": {"permutations": 2},
    "data_banzhaf": {"models": 40}, "data_oob": {"models": 40}, "data_shapley": {"permutations": 2},
    "dvrl": {"rl_epochs": 3}, "influence_subsample": {"models": 40}, "robust_volume_shapley": {"permutations": 2},
    "unlearning_shapley": {"sampling": {"permutations": 2}}, "warm_start_shapley": {"permutations": 2},
}  # fmt: skip
NO_VALIDATION = [CHGShapley, GradientShapley, HardnessShapley, DataOob, RobustVolumeShapley, Random]
RNG = np.random.default_rng(0)
X, X_VALID = RNG.normal(size=(24, 3)), RNG.normal(size=(12, 3))
LABELS, LABELS_VALID = (np.where(x[:, 0] > 0, "yes", "no") for x in (X, X_VALID))
TARGETS, TARGETS_VALID = (x @ [1.0, 2.0, 0.0] + 3 for x in (X, X_VALID))
FIT = {"epochs": 2, "lr": 0.05, "batch_size": 8}
EVALUATORS = {name: entry for name, entry in entries("evaluators").items() if name not in TEXTS_ONLY}


def make(name, **more):
    return EVALUATORS[name].load()(**SHORT.get(name, {}), random_state=0, **more)


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_evaluator_takes_arrays_and_labels(name):
    """Of any type: names, class numbers, or one-hot; in numpy or torch, in either precision."""
    one_hot = np.eye(2)[(LABELS == "yes").astype(int)], np.eye(2)[(LABELS_VALID == "yes").astype(int)]
    expected = make(name).fit(X, LABELS, X_VALID, LABELS_VALID, **FIT)
    assert expected.values_.shape == (24,)
    assert np.isfinite(expected.values_).all()
    assert list(expected.classes_) == ["no", "yes"]
    single = (torch.tensor(X, dtype=torch.float32), torch.tensor(X_VALID, dtype=torch.float32))
    for x, x_valid, y, y_valid in (
        (X, X_VALID, *one_hot),
        (X, X_VALID, torch.tensor(one_hot[0]).argmax(1), one_hot[1].argmax(1)[:, None]),
        (X.tolist(), X_VALID, (LABELS == "yes").tolist(), LABELS_VALID == "yes"),
        (*single, LABELS.astype(object), LABELS_VALID.astype(object)),
    ):
        same = make(name).fit(x, y, x_valid, y_valid, **FIT)
        np.testing.assert_allclose(same.values_, expected.values_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(TEXTS_ONLY))
def test_evaluators_of_texts_say_that_they_cannot_value_points(name):
    with pytest.raises(UserError, match=f"{name} reads texts and cannot value points with features; choose another"):
        entries("evaluators")[name].load()().fit(X, LABELS, X_VALID, LABELS_VALID)


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_evaluator_takes_regression_targets_or_says_that_it_cannot(name):
    if name in CLASSES_ONLY:
        with pytest.raises(UserError, match="cannot value regression data"):
            make(name).fit(X, TARGETS, X_VALID, TARGETS_VALID, **FIT)
        return
    column = make(name).fit(X, TARGETS[:, None], X_VALID, TARGETS_VALID[:, None], **FIT).values_
    assert column.shape == (24,)
    np.testing.assert_array_equal(make(name).fit(X, TARGETS, X_VALID, TARGETS_VALID, **FIT).values_, column)
    assert name == "random" or np.ptp(column) > 0


@pytest.mark.parametrize("evaluator", NO_VALIDATION)
def test_evaluators_that_do_not_use_a_validation_set_need_none(evaluator):
    fit = {} if evaluator in (Random, RobustVolumeShapley) else FIT
    values = evaluator(random_state=0).fit(X, LABELS, **fit).values_
    np.testing.assert_allclose(values, evaluator(random_state=0).fit(X, LABELS, X_VALID, LABELS_VALID, **fit).values_)


@pytest.mark.parametrize("name", EVALUATORS)
def test_all_others_refuse_an_empty_validation_set(name):
    evaluator = make(name)
    if type(evaluator) in NO_VALIDATION:
        return
    with pytest.raises(UserError, match="needs a validation set"):
        evaluator.fit(X, LABELS)
    with pytest.raises(UserError, match="which is empty"):
        evaluator.fit(X, LABELS, X_VALID[:0], LABELS_VALID[:0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": LABELS[:-1]}, "the training set has 24 points and 23 labels"),
        ({"y_valid": LABELS_VALID[:-1]}, "the validation set has 12 points and 11 labels"),
        ({"X": X[:0], "y": LABELS[:0]}, "no points to value"),
        ({"X": X[:, 0]}, r"X has shape \(24,\); it must be \(points, features\)"),
        ({"X": X.astype(str)}, "X must hold numbers"),
        ({"X": np.where(X > 1, np.nan, X)}, "X has missing or infinite values"),
        ({"X_valid": X_VALID / 0 * 0}, "X_valid has missing or infinite values"),
        ({"y": np.where(LABELS == "no", None, LABELS)}, "missing labels"),
        ({"y": np.full(24, 1), "y_valid": np.full(12, 1)}, "all points have the label 1"),
        ({"y": np.where(X > 1, np.nan, 1.0)[:, 0], "y_valid": X_VALID[:, 0]}, "y has missing or infinite values"),
        ({"y_valid": np.arange(12) % 2}, "y holds <U3 and y_valid int64; give labels of one type"),
        ({"y": np.arange(24) % 2, "y_valid": X_VALID[:, 0]}, "y holds int64 and y_valid float64"),
        ({"y": X, "y_valid": X_VALID}, "y has 3 columns, which must be one-hot labels"),
        ({"y": np.eye(2)[[0, 1] * 12]}, r"y has shape \(24, 2\) and y_valid \(12,\)"),
        ({"model": "mlp"}, "str is no model"),
        ({"model": nn.ReLU()}, "ReLU has no parameters"),
        ({"model": nn.Linear(3, 5)}, r"Linear maps 2 points to shape \(2, 5\); it must map 2 points .* \(2, 2\)"),
        ({"model": nn.Linear(4, 2)}, r"Linear fails on points of shape \(3,\)"),
        ({"model": nn.LSTM(3, 2)}, "LSTM returns a tuple"),
        ({"lr": 1e30, "epochs": 30}, "diverged"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_valued_is_said_in_one_line(change, message):
    how = {"X": X, "y": LABELS, "X_valid": X_VALID, "y_valid": LABELS_VALID, **FIT, **change}
    with pytest.raises((UserError, FloatingPointError), match=message) as error:
        DataShapley(permutations=2, random_state=0).fit(**how)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("evaluator", [CHGShapley, GradientShapley, HardnessShapley])
def test_no_epochs_and_divergence_give_no_values(evaluator):
    with pytest.raises(UserError, match="of which there are none"):
        evaluator().fit(X, LABELS, epochs=0)
    model = LogisticRegression(3, 3)
    with torch.no_grad():
        model.linear.bias.fill_(np.nan)
    with pytest.raises(FloatingPointError, match="diverged"):
        evaluator().fit(X, np.arange(24) % 3, model=model, epochs=1)


def test_targets_of_one_dimension_are_one_column():
    """Through OpenDataVal's interface: a vector would be subtracted from every prediction, (n, 1) - (n,)."""
    torch.manual_seed(0)
    model = RegressionMLP(3, layers=2, hidden_dim=4)
    x, x_valid, y, y_valid = (torch.tensor(a, dtype=torch.float32) for a in (X, X_VALID, TARGETS, TARGETS_VALID))
    for evaluator in (CHGShapley, TracIn, DataShapley):
        values = []
        for targets in ((y, y_valid), (y[:, None], y_valid[:, None])):
            made = evaluator(**({"permutations": 2} if evaluator is DataShapley else {}), random_state=0)
            made.input_data(x, targets[0], x_valid, targets[1]).input_model(model).input_metric(neg_mse)
            torch.manual_seed(0)
            values.append(made.train_data_values(epochs=1).evaluate_data_values())
        np.testing.assert_array_equal(*values)


def test_class_numbers_are_columns_too():
    x, y = torch.tensor(X, dtype=torch.float32), torch.arange(24) % 3
    values = [CHGShapley(random_state=0).fit(x, labels, epochs=1).values_ for labels in (y, np.eye(3)[y])]
    np.testing.assert_array_equal(*values)
    made = KNNShapley().input_data(x, y, x, y).train_data_values()
    theirs = stock.KNNShapley().input_data(x, torch.eye(3)[y], x, torch.eye(3)[y]).train_data_values()
    np.testing.assert_allclose(made.evaluate_data_values(), theirs.evaluate_data_values(), atol=1e-6)
    with pytest.raises(UserError, match="class numbers are counted from 0, and one is -1"):
        KNNShapley().input_data(x, y - 1, x, y)


@pytest.mark.parametrize("double", ["data", "model"])
@pytest.mark.parametrize("evaluator", [CHGShapley, DataShapley, TracIn, UnlearningShapley, PartialUnlearningShapley])
def test_data_get_the_precision_of_the_model(evaluator, double):
    """OpenDataVal's networks train on data of their own precision only."""
    name = next(name for name, entry in EVALUATORS.items() if entry.load() is evaluator)
    values = []
    for precision in ("same", double):
        torch.manual_seed(0)
        model = LogisticRegression(3, 2)
        parts = X, np.eye(2)[(X[:, 0] > 0).astype(int)], X_VALID, np.eye(2)[(X_VALID[:, 0] > 0).astype(int)]
        data = [torch.tensor(part, dtype=torch.float64 if precision == "data" else torch.float32) for part in parts]
        made = make(name).input_data(*data)
        made.input_model(model.double() if precision == "model" else model).input_metric(accuracy)
        torch.manual_seed(0)
        values.append(made.train_data_values(epochs=1).evaluate_data_values())
    np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-5)


def test_a_layer_without_bias_has_no_gradient_of_one():
    x, y = torch.tensor(X, dtype=torch.float32), torch.eye(2)[(torch.tensor(X)[:, 0] > 0).long()]
    layer = nn.Linear(3, 2, bias=False)
    gradients = []
    for point, target in zip(x, y, strict=True):
        loss = nn.functional.cross_entropy(layer(point[None]), target[None])
        gradients.append(loss.item() * torch.autograd.grad(loss, layer.weight)[0].flatten().numpy())
    values = CHGShapley().fit(x, y, model=layer, epochs=1).values_
    np.testing.assert_allclose(values, chg_shapley_values(np.array(gradients)), rtol=1e-3, atol=1e-6)


class Net(nn.Module):
    """With dropout and batch normalisation that only evaluation mode makes a function of the point."""

    def __init__(self, head_first):
        super().__init__()
        for name in ("head", "body") if head_first else ("body", "head"):
            setattr(self, name, nn.Linear(3, 4) if name == "body" else nn.Linear(4, 2))
        self.between = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.3))

    def forward(self, x):
        return self.head(self.between(self.body(x)))


@pytest.mark.parametrize("evaluator", [CHGShapley, GradientShapley, HardnessShapley, UnlearningShapley])
def test_the_order_in_which_layers_are_defined_does_not_matter(evaluator):
    torch.manual_seed(1)
    weights, values = Net(False).state_dict(), []
    how = {"sampling": {"permutations": 2}, "utility": "log_loss"} if evaluator is UnlearningShapley else {}
    for head_first in (False, True):
        model = Net(head_first)
        model.load_state_dict(weights)
        made = evaluator(random_state=0, **how)
        values.append(made.fit(X, LABELS, X_VALID, LABELS_VALID, model=model, epochs=2).values_)
    np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-6)
    assert np.ptp(values[0]) > 0


def test_a_class_that_derives_from_an_evaluator_is_checked_too():
    class Mine(KNNShapley):
        def input_data(self, *data):
            return super().input_data(*data)

    with pytest.raises(UserError, match="24 points and 23 labels"):
        Mine().fit(X, LABELS[:-1], X_VALID, LABELS_VALID)
