"""Warm-start Shapley: its models against converged ones, efficiency, degenerate data, stopping, planted noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opendataval.experiment import ExperimentMediator
from opendataval.metrics import accuracy, neg_mse
from opendataval.model import LogisticRegression as StockModel
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from short_fits import FIT
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import evaluators.warm_start_shapley as module
from dvbench.errors import UserError
from dvbench.problems.build import build_problem
from dvbench.randomness import random_state
from dvbench.settings import Noise, Sizes
from evaluators import WarmStartShapley
from evaluators.common import regressions


def value(x, y, x_valid, y_valid, metric=accuracy, **params):
    """Train on arrays; labels are class numbers."""
    classes = max(y.max(), y_valid.max(), 1) + 1
    tensors = [torch.as_tensor(part, dtype=torch.float32) for part in (x, np.eye(classes)[y])]
    tensors += [torch.as_tensor(part, dtype=torch.float32) for part in (x_valid, np.eye(classes)[y_valid])]
    evaluator = WarmStartShapley(**{"permutations": 3, "random_state": 0, **params})
    return evaluator.input_data(*tensors).input_metric(metric).train_data_values(**FIT)


def arrays(problem):
    parts = problem.train, problem.validation
    return [array for part in parts for array in (part.x.numpy(), part.y.numpy().argmax(axis=1))]


@pytest.fixture(scope="module")
def noisy():
    """Digits, 150 players of which 30 have a wrong label: fewer and later more players than features in a prefix."""
    return build_problem("digits", Sizes(train=150, validation=200, test=10), Noise(kind="labels", rate=0.2), 0)


def utilities(evaluator, seed):
    """Utilities along the one permutation that the evaluator was given, the empty coalition's first."""
    permutation = random_state(seed).permutation(len(evaluator.data_values))
    steps = evaluator.data_values[permutation]
    return permutation, evaluator.diagnostics_["utility_empty"] + np.r_[0, np.cumsum(steps)]


def converged(x, y, l2=1.0, classes=None):
    """Minimise the objective in float64, over the classes that there are unless told: coefficients, intercepts."""
    present = np.unique(y) if classes is None else classes
    hit = (y[:, None] == present).astype(float)
    x1 = np.c_[x.astype(float), np.ones(len(x))]

    def objective(flat):
        w = flat.reshape(len(present), -1)
        z = x1 @ w.T
        gradient = (softmax(z, axis=1) - hit).T @ x1
        gradient[:, :-1] += l2 * w[:, :-1]
        return -(hit * log_softmax(z, axis=1)).sum() + l2 / 2 * (w[:, :-1] ** 2).sum(), gradient.ravel()

    start = np.zeros(len(present) * x1.shape[1])
    actual = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-13})
    return present, actual.x.reshape(len(present), -1), actual.fun


def converged_accuracy(x, y, x_valid, y_valid, l2=1.0):
    present, w, _ = converged(x, y, l2)
    return float((present[(x_valid @ w[:, :-1].T + w[:, -1]).argmax(axis=1)] == y_valid).mean())


# The models


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_objective_is_scikit_learns(noisy, classes):
    x, y, x_valid, _ = arrays(noisy)
    x, y = x[y < classes].astype(float), y[y < classes]
    theirs = LogisticRegression(C=2 if classes == 2 else 1, tol=1e-6, max_iter=5000).fit(x, y)
    _, w, _ = converged(x, y)
    mine = softmax(x_valid @ w[:, :-1].T + w[:, -1], axis=1)
    np.testing.assert_allclose(mine, theirs.predict_proba(x_valid), atol=2e-4)


def test_absent_classes_have_a_limit_and_it_is_to_be_left_out(noisy):
    """The objective of all classes has no minimum then, and its infimum is that of the classes that are there."""
    x, y, x_valid, _ = arrays(noisy)
    few = y < 3
    present, w, lowest = converged(x[few], y[few])
    _, w_all, low = converged(x[few], y[few], classes=np.arange(10))
    assert lowest <= low < lowest + 1e-2
    predicted, predicted_of_all = (x_valid @ each[:, :-1].T + each[:, -1] for each in (w, w_all))
    assert (present[predicted.argmax(axis=1)] == predicted_of_all.argmax(axis=1)).mean() > 0.99


@pytest.mark.parametrize("l2", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("clean", [True, False])
def test_utilities_are_near_those_of_converged_models(noisy, l2, clean):
    x, y, x_valid, y_valid = arrays(noisy)
    if clean:
        x, y = x[~noisy.corrupted], y[~noisy.corrupted]
    off = []
    for seed in (0, 1):
        evaluator = value(x, y, x_valid, y_valid, permutations=1, l2=l2, random_state=seed)
        permutation, actual = utilities(evaluator, seed)
        for size in (1, 2, 3, 5, 8, 14, 25, 45, 80, 110, len(x)):
            coalition = permutation[:size]
            off.append(actual[size] - converged_accuracy(x[coalition], y[coalition], x_valid, y_valid, l2))
    assert np.sqrt(np.mean(np.square(off))) < 0.01
    assert abs(np.mean(off)) < 0.005


def test_two_classes_are_near_converged_too(two_blobs):
    x, y, x_valid, y_valid, *_ = two_blobs.datapoints
    x, y, x_valid, y_valid = x.numpy(), y.numpy().argmax(axis=1), x_valid.numpy(), y_valid.numpy().argmax(axis=1)
    permutation, actual = utilities(value(x, y, x_valid, y_valid, permutations=1), 0)
    for size in range(1, 17):
        coalition = permutation[:size]
        expected = converged_accuracy(x[coalition], y[coalition], x_valid, y_valid)
        assert actual[size] == pytest.approx(expected, abs=1.01 / len(x_valid))


def test_more_features_than_players_change_nothing(noisy):
    """Zeros beside the features make the rotation into the players' span, which must not be seen."""
    x, y, x_valid, y_valid = arrays(noisy)
    wide, wide_valid = (np.pad(part, ((0, 0), (0, 200))) for part in (x, x_valid))
    plain, rotated = value(x, y, x_valid, y_valid), value(wide, y, wide_valid, y_valid)
    np.testing.assert_allclose(plain.data_values, rotated.data_values, atol=0.01)
    assert np.mean(np.abs(plain.data_values - rotated.data_values) > 1e-9) < 0.2


def test_a_shift_of_the_features_changes_nothing(noisy):
    x, y, x_valid, y_valid = arrays(noisy)
    plain, moved = value(x, y, x_valid, y_valid), value(x + 100, y, x_valid + 100, y_valid)
    assert np.mean(np.abs(plain.data_values - moved.data_values) > 1e-9) < 0.2


# The values


@pytest.mark.parametrize("metric", [accuracy, neg_mse])
def test_values_sum_to_what_everybody_is_worth(noisy, metric):
    data = arrays(noisy)
    evaluator = value(*data, metric=metric)
    truth = torch.eye(10)[data[3]]
    full, empty = (evaluator.diagnostics_[f"utility_{which}"] for which in ("full", "empty"))
    assert evaluator.data_values.sum() == pytest.approx(full - empty, abs=1e-12)
    assert empty == pytest.approx(metric(truth, torch.full((200, 10), 0.1)))
    assert full > empty
    if metric is accuracy:
        assert full == pytest.approx(converged_accuracy(*data), abs=0.03)


def test_any_metric_is_computed_on_probabilities(noisy):
    data = arrays(noisy)
    seen = []

    def by_hand(y, y_hat):
        seen.append(y_hat)
        return accuracy(y, y_hat)

    fast, slow = value(*data), value(*data, metric=by_hand)
    assert len(seen) == 3 * 151
    assert all(each.shape == (200, 10) for each in seen)
    assert (torch.stack(seen[3:6]).amax(dim=2) == 1).all()  # one player: only its class is possible
    torch.testing.assert_close(torch.stack(seen).sum(dim=2), torch.ones(len(seen), 200))
    np.testing.assert_allclose(fast.data_values, slow.data_values, atol=1e-7)


def test_the_first_player_alone_has_its_class_predicted(noisy):
    x, y, x_valid, y_valid = arrays(noisy)
    permutation, actual = utilities(value(x, y, x_valid, y_valid, permutations=1), 0)
    assert actual[0] == pytest.approx(np.mean(y_valid == 0))  # all are equally probable, and the first is taken
    assert actual[1] == pytest.approx(np.mean(y_valid == y[permutation[0]]))


def test_planted_label_noise_is_found(noisy, global_state):
    evaluator = value(*arrays(noisy), permutations=100)
    assert roc_auc_score(noisy.corrupted, -evaluator.data_values) > 0.83
    assert (evaluator.standard_errors_ > 0).all()


def test_errors_are_those_of_a_mean_over_permutations(noisy):
    data, rng = arrays(noisy), random_state(5)
    singles = np.array([value(*data, permutations=1, random_state=rng).data_values for _ in range(6)])
    evaluator = value(*data, permutations=6, batch=1, random_state=5)
    np.testing.assert_allclose(evaluator.data_values, singles.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(evaluator.standard_errors_, singles.std(axis=0, ddof=1) / np.sqrt(6), atol=1e-9)


# Degenerate data


def degenerate(kind):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(3, size=60)
    x, y = {
        "all alike": (np.ones_like(x), y),
        "duplicates": (np.repeat(x[:6], 10, axis=0), y),
        "a constant feature": (np.c_[x, np.full(60, 1e6)], y),
        "one class": (x, np.full(60, 1)),
        "separable, hardly regularised": (10 * np.eye(3)[y], y),
        "one outlier": (np.where(np.arange(60)[:, None] == 3, 1e4, x), y),
        "a rare class": (x, np.where(np.arange(60) == 7, 2, y % 2)),
        "one player": (x[:1], y[:1]),
        "two players": (x[:2], np.array([0, 1])),
    }[kind]
    return x, y, np.resize(x, (20, x.shape[1])), rng.integers(3, size=20)


@pytest.mark.parametrize(
    "kind",
    ["all alike", "duplicates", "a constant feature", "one class", "separable, hardly regularised", "one outlier",
     "a rare class", "one player", "two players"],
)  # fmt: skip
@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_degenerate_data_have_finite_values(kind, l2):
    evaluator = value(*degenerate(kind), permutations=12, l2=l2)
    assert np.isfinite(evaluator.data_values).all()
    ends = evaluator.diagnostics_["utility_full"] - evaluator.diagnostics_["utility_empty"]
    assert evaluator.data_values.sum() == pytest.approx(ends, abs=1e-12)
    if kind == "one class":
        assert evaluator.diagnostics_["utility_full"] == pytest.approx(np.mean(degenerate(kind)[3] == 1))


def test_divergence_is_an_error_and_not_a_value(noisy):
    x, y, x_valid, y_valid = arrays(noisy)
    with pytest.raises(FloatingPointError, match="diverged; standardise"):
        value(1e30 * x, y, x_valid, y_valid)


def test_a_preconditioner_without_inverse_is_an_error_and_not_a_value(monkeypatch):
    monkeypatch.setattr(regressions, "ROUNDING", 0.0)
    with pytest.raises(FloatingPointError, match="diverged; standardise"):
        value(*degenerate("one outlier"), permutations=12, l2=1e-3)


def test_regression_is_refused():
    x, y = torch.randn(10, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(10, 1)
    with pytest.raises(UserError, match="warm_start_shapley compares class labels"):
        WarmStartShapley().input_data(x, y, x, y)


# Repeating, batches, stopping


def test_the_same_to_the_bit_whatever_the_global_seeds(noisy):
    actual = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            actual.append(value(*arrays(noisy), random_state=7).data_values)
    assert actual[0].tobytes() == actual[1].tobytes()
    assert actual[0].tobytes() != value(*arrays(noisy), random_state=8).data_values.tobytes()


def test_batches_change_rounding_only(noisy):
    """The same permutations are drawn; here and there a prediction on the edge falls the other way."""
    all_at_once, *others = (value(*arrays(noisy), permutations=7, batch=batch) for batch in (64, 4, 1))
    for other in others:
        assert other.random_state.get_state()[2] == all_at_once.random_state.get_state()[2]
        assert other.diagnostics_["permutations"] == 7
        assert np.mean(np.abs(other.data_values - all_at_once.data_values) > 1e-9) < 0.2
        np.testing.assert_allclose(other.data_values, all_at_once.data_values, atol=0.01)


def test_memory_bounds_the_batch(noisy, monkeypatch):
    one_by_one = value(*arrays(noisy), batch=1)
    monkeypatch.setattr(module, "MEMORY", 1)
    assert value(*arrays(noisy)).data_values.tobytes() == one_by_one.data_values.tobytes()


@pytest.mark.parametrize(
    ("limits", "permutations"),
    [({"permutations": 5, "batch": 4}, 5), ({"permutations": None, "seconds": 1e-9, "batch": 4}, 4)],
)
def test_limits(noisy, limits, permutations):
    evaluator = value(*arrays(noisy), **limits)
    assert evaluator.diagnostics_["permutations"] == permutations
    assert evaluator.diagnostics_["utilities"] == permutations * 150


def test_a_target_of_the_standard_error_is_reached(noisy):
    evaluator = value(*arrays(noisy), permutations=None, target_standard_error=0.01, batch=8)
    assert 0 < evaluator.standard_errors_.max() <= 0.01
    assert evaluator.diagnostics_["permutations"] >= 16
    assert np.isinf(value(*arrays(noisy), permutations=1).standard_errors_).all()


@pytest.mark.parametrize("wrong", [{"l2": 0.0}, {"l2": float("nan")}, {"batch": 0}, {"permutations": 0}])
def test_settings_that_do_not_exist(wrong):
    with pytest.raises(ValueError, match=r"l2|batch|permutations"):
        WarmStartShapley(**wrong)


# OpenDataVal's own objects


def test_with_opendatavals_mediator_and_model(two_blobs):
    evaluator = WarmStartShapley(random_state=0)
    mediator = ExperimentMediator(two_blobs, StockModel(4, 2), {"epochs": 3, "lr": 0.05}, "accuracy", raises_error=True)
    mediator.compute_data_values([evaluator])
    assert evaluator.data_values.shape == (16,)
    assert evaluator.diagnostics_["permutations"] == 100
    assert evaluator.diagnostics_["utility_full"] == 1.0


def test_training_again_forgets_the_first_values(problem, model):
    evaluator = WarmStartShapley(permutations=1, random_state=0)
    first = evaluator.train(problem.fetcher(), model, accuracy, **FIT).data_values
    smaller = problem.fetcher()
    smaller.x_train, smaller.y_train = smaller.x_train[:20], smaller.y_train[:20]
    assert evaluator.train(smaller, model, accuracy, **FIT).data_values.shape == (20,)
    assert first.shape == (60,)
