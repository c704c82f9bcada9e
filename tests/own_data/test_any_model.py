"""Models that a user brings: of scikit-learn, networks, of OpenDataVal; and which evaluators take them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from opendataval.model import ClassifierMLP
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from what_evaluators_take import TEXTS_ONLY

import dvbench
from dvbench.errors import UserError
from dvbench.own_data.defaults import WITH_ANY_MODEL
from dvbench.own_data.models import Estimator
from dvbench.registry import entries

SMALL = {
    "ame": {"models": 40}, "beta_shapley": {"permutations": 2}, "data_banzhaf": {"models": 20},
    "data_oob": {"models": 30}, "data_shapley": {"permutations": 2}, "dvrl": {"rl_epochs": 3},
    "influence_subsample": {"models": 20},
}  # fmt: skip


def table(n: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, 3)) + 2 * y[:, None], y


@pytest.mark.parametrize("name", sorted(set(entries("evaluators")) - {"dvrl", *TEXTS_ONLY}))
def test_evaluators_take_a_random_forest_or_name_those_that_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvbench.own_data import choice

    monkeypatch.setattr(choice, "evaluator_parameters", lambda entry, *_, **__: SMALL.get(entry.name, {}))
    x, y = table()
    model = RandomForestClassifier(n_estimators=3, max_depth=3)
    valued = {"evaluator": name, "model": model, "validation": table(12, 1), "progress": False}
    if name in WITH_ANY_MODEL:
        values = dvbench.value(x, y, **valued).values
        assert np.isfinite(values["value"]).all()
    else:
        with pytest.raises(UserError, match=r"needs gradients, which RandomForestClassifier .* data_oob, data_shapley"):
            dvbench.value(x, y, **valued)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        KNeighborsClassifier(3),
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        ClassifierMLP(3, 2),
        "logistic_regression",
    ],
    ids=lambda model: model if isinstance(model, str) else type(model).__name__,
)
def test_every_kind_of_model_is_used_and_stays_as_it_is(model: object) -> None:
    x, y = table()
    before = [part.clone() for part in model.parameters()] if isinstance(model, nn.Module) else []
    first, second = (
        dvbench.value(x, y, evaluator="leave_one_out", model=model, utility="log_loss", folds=2).values
        for _ in range(2)
    )
    assert first["value"].nunique() > 1
    pd.testing.assert_frame_equal(first, second)
    if isinstance(model, nn.Module):
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_values_of_a_forest_are_those_of_a_plain_loop() -> None:
    x, y = table()
    x_valid, y_valid = table(30, 1)
    model = LogisticRegression()
    values = dvbench.value(
        pd.DataFrame(x), y, evaluator="leave_one_out", model=model, validation=(pd.DataFrame(x_valid), y_valid)
    ).values["value"]
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, x_valid = (((part - mean) / deviation).astype(np.float32) for part in (x, x_valid))
    whole = LogisticRegression().fit(x, y).score(x_valid, y_valid)
    expected = [
        whole - LogisticRegression().fit(np.delete(x, i, 0), np.delete(y, i)).score(x_valid, y_valid)
        for i in range(len(x))
    ]
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_a_class_that_is_absent_has_probability_0_and_no_points_predict_all_alike() -> None:
    """OpenDataVal's wrapper predicts the most frequent class if one of the classes is absent."""
    x = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    y = torch.eye(3)[[0, 0, 2, 2]]
    model = Estimator(LogisticRegression(), 3).fit(x, y)
    predicted = model.predict(x)
    assert predicted.argmax(dim=1).tolist() == [0, 0, 2, 2]
    assert (predicted[:, 1] == 0).all()
    assert model.fit(x[:2], y[:2]).predict(x).tolist() == [[1, 0, 0]] * 4
    assert torch.allclose(model.fit(x[:0], y[:0]).predict(x), torch.full((4, 3), 1 / 3))
    weighted = model.fit(x, y, sample_weight=torch.tensor([[1.0], [1.0], [0.0], [0.0]]))
    assert weighted.predict(x).tolist() == [[1, 0, 0]] * 4


@pytest.mark.parametrize("scaled", [False, True])
def test_neighbours_are_at_most_all_points_of_a_coalition(scaled: bool) -> None:
    """scikit-learn refuses more neighbours than points, and coalitions have as few as two."""
    x, y = torch.tensor([[0.0], [1.0], [5.0], [5.1]]), torch.eye(2)[[0, 0, 1, 1]]
    neighbours = KNeighborsClassifier(3)
    model = Estimator(make_pipeline(StandardScaler(), neighbours) if scaled else neighbours, 2)
    assert model.fit(x[1:3], y[1:3]).predict(x).tolist() == [[0.5, 0.5]] * 4
    assert model.fit(x, y).predict(x)[:, 1].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert neighbours.n_neighbors == 3


@pytest.mark.parametrize("evaluator", ["class_wise_shapley", "data_shapley"])
def test_coalitions_train_a_model_of_neighbours(evaluator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class-wise Shapley of it is a class-wise KNN Shapley; wrong labels have low values."""
    from dvbench.own_data import choice

    monkeypatch.setattr(choice, "evaluator_parameters", lambda entry, *_, **__: {"permutations": 20})
    x, y = table()
    wrong = np.arange(24) % 6 == 1
    labels = np.where(wrong, 0, y)
    how = {"evaluator": evaluator, "model": KNeighborsClassifier(3), "validation": (x, y), "progress": False}
    values = dvbench.value(x, labels, **how).values["value"]
    assert values[~wrong].mean() > values[wrong].mean() + values.std()


def test_a_regression_by_estimators() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    y = x @ [1.0, -2.0] + 0.01 * rng.normal(size=30)
    y[4] += 40
    for model in (LinearRegression(), KNeighborsRegressor(3)):
        values = dvbench.value(x, y, evaluator="leave_one_out", model=model, folds=3).values
        assert values["value"].idxmin() == 4


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (RidgeClassifier(), "does not predict probabilities"),
        (LinearRegression(), "is for regression, but the data are a classification"),
        (LogisticRegression, "is a class: give an object, such as LogisticRegression()"),
        (nn.Linear(4, 2), "its network fails on two points"),
        (nn.Linear(3, 5), "maps two points to shape"),
        (7, "int is no model"),
        ("logistic_regresion", "did you mean 'logistic_regression'"),
    ],
    ids=str,
)
def test_what_is_no_model_for_the_data_is_refused(model: object, message: str) -> None:
    x, y = table()
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        dvbench.value(x, y, evaluator="leave_one_out", model=model, folds=2)
