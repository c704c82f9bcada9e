"""Class-wise Shapley against plain loops over all permutations and subsets, and OpenDataVal's definition."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from opendataval.metrics import accuracy
from short_fits import FIT
from torch.utils.data import Subset

import evaluators.baselines.class_wise_shapley as module
from evaluators import ClassWiseShapley
from evaluators.common.class_wise import class_wise_values

CLASSES = np.array([0, 1, 0, 2, 1])


def subsets(players):
    return [list(members) for size in range(len(players) + 1) for members in combinations(players, size)]


def by_definition(utility, classes):
    """The mean over all subsets of the players of other classes, and over all permutations of the player's class."""
    values = np.zeros(len(classes))
    for label in set(classes.tolist()):
        inside, others = np.flatnonzero(classes == label).tolist(), np.flatnonzero(classes != label).tolist()
        for drawn in subsets(others):
            for order in permutations(inside):
                for place, player in enumerate(order):
                    gain = utility(label, {*drawn, *order[: place + 1]}) - utility(label, {*drawn, *order[:place]})
                    values[player] += gain / 2 ** len(others) / math.factorial(len(inside))
    return values


@pytest.fixture
def five(problem, model):
    """Five players of three classes, with the model and a utility of the paper that is computed one fit at a time."""
    labels = problem.train.y.argmax(1)
    rows = [int(torch.where(labels == label)[0][k]) for label, k in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1))]
    x, y = problem.train.x[rows], problem.train.y[rows]
    x_valid, y_valid = problem.validation.x, problem.validation.y
    truth = y_valid.argmax(1)

    def counts(label, members):
        part = sorted(members)
        fitted = model.clone().fit(Subset(x, part), Subset(y, part), **FIT)
        correct = fitted.predict(x_valid).argmax(1) == truth
        return int(correct[truth == label].sum()), int(correct[truth != label].sum())

    return (x, y, x_valid, y_valid), counts


def trained(data, model, metric=accuracy, **params):
    evaluator = ClassWiseShapley(random_state=0, **params).input_data(*data)
    evaluator.input_model_metric(model, metric).train_data_values(**FIT)
    return evaluator.evaluate_data_values()


def test_values_are_the_papers_by_plain_loops(five, model):
    data, counts = five

    def utility(label, members):
        inside, outside = counts(label, members)
        return inside / 60 * math.exp(outside / 60)

    expected = by_definition(utility, CLASSES)
    for label in range(3):
        inside, players = counts(label, range(5))[0], np.flatnonzero(np.equal(CLASSES, label))
        assert expected[players].sum() > 0
        expected[players] *= inside / 60 / expected[players].sum()
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(trained(data, model, permutations=12), expected, atol=1e-9)


def game_of(table):
    return lambda pairs: np.array([table(label, frozenset(members.tolist())) for label, members in pairs])


def made_up_utility(label, members):
    """No symmetry between players, and the players of other classes matter."""
    worth = sum(math.sin(7 * player + label + 1) for player in members)
    return math.tanh(worth) + 0.1 * len(members) * label


def test_sampled_values_have_the_definition_as_their_mean():
    expected = by_definition(made_up_utility, CLASSES)
    rng = np.random.RandomState(0)
    samples = np.array([class_wise_values(game_of(made_up_utility), CLASSES, 1, 2, rng) for _ in range(3000)])
    errors = samples.std(axis=0) / len(samples) ** 0.5
    assert np.abs((samples.mean(axis=0) - expected) / errors).max() < 4
    assert (expected / errors).max() > 20  # a difference would be seen
    exact = class_wise_values(game_of(made_up_utility), CLASSES, 12, 1, rng)
    np.testing.assert_allclose(exact, expected, atol=1e-12)


def test_each_permutation_draws_its_own_others():
    asked = []

    def game(pairs):
        asked.extend(pairs)
        return np.zeros(len(pairs))

    classes = np.arange(40) % 2
    class_wise_values(game, classes, 3, 2, np.random.RandomState(0))
    assert len(asked) == 3 * 2 * 42
    others = {tuple(members[classes[members] != label]) for label, members in asked}
    assert len(others) == 3 * 2 * 2
    assert 6 < np.mean([len(drawn) for drawn in others]) < 14
    orders = [members for label, members in asked if label == 0]
    assert all(np.array_equal(members, np.sort(members)) for members in orders)


def test_the_values_of_a_class_sum_to_its_accuracy(problem, model):
    data = (problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
    values = trained(data, model, permutations=3)
    fitted = model.clone().fit(problem.train.x, problem.train.y, **FIT)
    truth, labels = problem.validation.y.argmax(1), problem.train.y.argmax(1)
    correct = fitted.predict(problem.validation.x).argmax(1) == truth
    shares = [float((correct & (truth == label)).sum()) / 60 for label in range(10)]
    np.testing.assert_allclose([values[labels == label].sum() for label in range(10)], shares, atol=1e-9)


def test_a_class_whose_sum_is_not_positive_keeps_its_order(five, model, monkeypatch):
    data, _ = five
    raw = np.array([0.1, -0.5, -0.4, 0.2, 0.3])
    monkeypatch.setattr(module, "class_wise_values", lambda *_: raw.copy())
    values = trained(data, model)
    np.testing.assert_array_equal(values[[0, 1, 2, 4]], raw[[0, 1, 2, 4]])
    assert values[3] != raw[3]


@pytest.mark.parametrize("variant", ["paper", "opendataval"])
def test_models_are_trained_jointly(variant, problem, model, monkeypatch):
    data = (problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
    first, fits = trained(data, model, permutations=1, variant=variant), model.fits.count
    monkeypatch.setattr(module, "train_jointly", lambda _, run: run())
    monkeypatch.setattr("evaluators.common.sampling.train_jointly", lambda _, run: run())
    np.testing.assert_allclose(trained(data, model, permutations=1, variant=variant), first, atol=1e-6)
    assert model.fits.count == 2 * fits


def test_joint_training_is_used(problem, model, monkeypatch):
    from dvbench.training.tensor_model import TensorModel

    def fit(*_, **__):
        raise AssertionError("a model was fitted by itself")

    data = (problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
    monkeypatch.setattr(TensorModel, "fit", fit)
    for variant in ("paper", "opendataval"):
        assert np.isfinite(trained(data, model, permutations=1, variant=variant)).all()


def test_opendatavals_variant_is_its_definition(problem, model):
    """Its own utility, on the right validation points, of every coalition of a class with its own sampler's draws."""
    data = (problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
    ours = ClassWiseShapley(variant="opendataval").input_data(*data).input_model_metric(model, accuracy)
    theirs = stock.ClassWiseShapley(sampler=object()).input_data(*data).input_model_metric(model, accuracy)
    ours._label, rows = 3, ours._rows[3]
    x_parts = [Subset(part, rows[k]) for k in (0, 1) for part in data[:2]]
    parts = {
        "x_train_in_class": x_parts[0], "y_train_in_class": x_parts[1],
        "x_train_out_class": x_parts[2], "y_train_out_class": x_parts[3],
        "x_valid_in_class": Subset(data[2], rows[2]), "y_valid_in_class": data[3][rows[2]],
        "x_valid_out_class": Subset(data[2], rows[3]), "y_valid_out_class": data[3][rows[3]],
    }  # fmt: skip
    for subset in ([], [1], list(range(len(rows[0])))):
        expected = theirs._compute_class_wise_utility(subset, **parts, **FIT)
        assert ours._opendataval_utility(subset, **FIT) == pytest.approx(expected, rel=1e-6)


def test_opendataval_weights_classes_by_their_size(problem, model):
    """The fault: of two classes predicted equally well, the paper gives the larger one more, by its share."""
    data = (problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
    everyone = np.arange(60)
    paper = ClassWiseShapley().input_data(*data).input_model_metric(model, lambda y, y_hat: 1.0)
    other = ClassWiseShapley(variant="opendataval").input_data(*data).input_model_metric(model, lambda y, y_hat: 1.0)
    for label in (0, 5):
        size = int((problem.validation.y.argmax(1) == label).sum())
        assert paper._shares(label, paper._predicted(everyone, **FIT)) == (size / 60, 1 - size / 60)
        other._label = label
        assert other._opendataval_utility(range(2), **FIT) == pytest.approx(math.e / 60)  # whatever the size


def test_a_metric_below_zero_is_refused(five, model):
    data, _ = five
    with pytest.raises(Exception, match="the metric must not be negative"):
        trained(data, model, metric=lambda y, y_hat: -1.0)
    assert np.isfinite(trained(data, model, metric=lambda y, y_hat: float((y * y_hat).sum() / len(y)))).all()


def test_a_single_class_and_a_second_training(problem, model):
    rows = torch.where(problem.train.y.argmax(1) == 1)[0]
    data = (problem.train.x[rows], problem.train.y[rows], problem.validation.x, problem.validation.y)
    evaluator = ClassWiseShapley(permutations=2, random_state=0).input_data(*data).input_model_metric(model, accuracy)
    for _ in range(2):
        values = evaluator.train_data_values(**FIT).evaluate_data_values()
        assert values.sum() == pytest.approx(evaluator._shares(1, evaluator._predicted(np.arange(len(rows)), **FIT))[0])
        assert (values > 0).any()


@pytest.mark.parametrize(("params", "message"), [
    ({"variant": "authors"}, "variant is 'paper' or 'opendataval', not 'authors'"),
    ({"draws_of_others": 0}, "draws_of_others is a whole number of at least 1, not 0"),
])  # fmt: skip
def test_wrong_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        ClassWiseShapley(**params)
