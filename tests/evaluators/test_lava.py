"""LAVA against linear programs, its convergence, and the faults of OpenDataVal's computation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import opendataval.dataval as stock
import pytest
import torch
from opendataval.dataval.lava.otdd import DatasetDistance
from scipy.optimize import linear_sum_assignment, linprog
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_wine

from dvbench.errors import UserError
from dvbench.problems.build import build_problem
from dvbench.settings import Noise, Sizes
from evaluators import Lava
from evaluators.common.optimal_transport import solve_transport


def one_hot(labels, classes):
    return torch.eye(classes)[torch.as_tensor(labels)]


def exact_transport(cost):
    """Potential of the rows and cost of the unregularised problem with equal weights, by linear programming."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    solution = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.r_[np.full(n, 1 / n), np.full(m, 1 / m)])
    return solution.eqlin.marginals[:n], solution.fun


def sinkhorn(cost, regularisation, steps):
    """Sinkhorn's iteration in its textbook form, for costs of the size of the regularisation."""
    kernel, v = np.exp(-cost / regularisation), np.ones(cost.shape[1])
    for _ in range(steps):
        u = 1 / len(cost) / (kernel @ v)
        v = 1 / cost.shape[1] / (kernel.T @ u)
    return regularisation * np.log(u), u[:, None] * kernel * v


def squared_distances(x, z):
    return np.square(x[:, None] - z[None]).sum(axis=2) / 2


def values(problem, **params):
    parts = (problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
    return Lava(**params).input_data(*parts).train_data_values().evaluate_data_values()


@pytest.fixture(scope="module")
def small():
    """Seven training and four validation points in three dimensions, three classes, one of them with one point.

    Numbers of points without a common divisor, so that the duals without regularisation are unique. Distances are
    large, so that the regularisation changes little.
    """
    rng = np.random.default_rng(3)
    x, z = rng.normal(scale=30, size=(7, 3)), rng.normal(scale=30, size=(4, 3))
    return x, np.array([0, 1, 1, 0, 2, 1, 0]), z, np.array([1, 0, 2, 1])


def lava(x, labels, z, labels_valid, **params):
    data = (torch.as_tensor(x), one_hot(labels, 3), torch.as_tensor(z), one_hot(labels_valid, 3))
    return Lava(**params).input_data(*data).train_data_values().evaluate_data_values()


def test_values_are_those_of_linear_programs(small):
    x, labels, z, labels_valid = small
    cost = squared_distances(x, z)
    total = cost.copy()
    for i in range(3):
        for j in range(3):
            block = np.ix_(labels == i, labels_valid == j)
            total[block] += exact_transport(cost[block])[1]
    potential, _ = exact_transport(total)
    gradient = [potential[i] - np.delete(potential, i).mean() for i in range(7)]
    assert np.ptp(gradient) > 500
    np.testing.assert_allclose(lava(x, labels, z, labels_valid), np.negative(gradient), atol=1.5)


def test_the_gradient_is_that_of_the_distance():
    """More weight on a player changes the cost of transport by its potential, less the mean of the others'."""
    rng = np.random.default_rng(1)
    cost = torch.as_tensor(rng.uniform(0, 3, size=(6, 4)))
    potential = solve_transport(cost, 0.1).source
    # Weights 1/6 are those of six equal copies of each point; 7 copies of point 0 of 37 are a little more weight.
    copies = cost.repeat_interleave(torch.tensor([201, 200, 200, 200, 200, 200]), dim=0)
    change = (solve_transport(copies, 0.1).cost - solve_transport(cost, 0.1).cost) / (201 / 1201 - 1 / 6)
    assert change == pytest.approx(float(potential[0] - potential[1:].mean()), rel=1e-2)


@pytest.mark.parametrize("shape", [(9, 5), (5, 9), (1, 4), (6, 1)])
def test_transport_is_sinkhorns(shape):
    cost = np.random.default_rng(0).uniform(0, 2, size=shape)
    ours = solve_transport(torch.as_tensor(cost), 0.3)
    potential, plan = sinkhorn(cost, 0.3, 5000)
    actual = ours.source.numpy()
    np.testing.assert_allclose(actual - actual.mean(), potential - potential.mean(), atol=1e-6)
    entropy = (plan * np.log(plan * plan.size)).sum()
    assert ours.cost == pytest.approx((plan * cost).sum() + 0.3 * entropy, abs=1e-8)
    assert ours.marginal_error < 1e-7


def test_transport_costs_what_it_costs_without_regularisation_or_a_little_more():
    cost = np.random.default_rng(5).uniform(0, 100, size=(12, 8))
    exact = exact_transport(cost)[1]
    for regularisation in (1.0, 0.1, 0.01):
        regularised = solve_transport(torch.as_tensor(cost), regularisation).cost
        assert exact < regularised <= exact + regularisation * math.log(8) + 1e-6


def test_transport_converges_on_real_data_and_sinkhorns_iteration_does_not(problem):
    cost = torch.cdist(problem.train.x.flatten(1).double(), problem.validation.x.flatten(1).double()).square() / 2
    solution = solve_transport(cost, 0.1)
    plan = torch.exp((solution.source[:, None] + solution.target - cost) / 0.1) / cost.numel()
    for axis, weight in ((0, 1 / 60), (1, 1 / 60)):
        assert float((plan.sum(dim=axis) - weight).abs().sum()) < 1e-6
    f, g = torch.zeros(60, dtype=torch.double), torch.zeros(60, dtype=torch.double)
    for _ in range(1000):
        f = -0.1 * (torch.logsumexp((g - cost) / 0.1, dim=1) - math.log(60))
        g = -0.1 * (torch.logsumexp((f[:, None] - cost) / 0.1, dim=0) - math.log(60))
    plan = torch.exp((f[:, None] + g - cost) / 0.1) / cost.numel()
    assert float((plan.sum(dim=1) - 1 / 60).abs().sum()) > 1e-3


@pytest.mark.parametrize("ratio", [1e5, 3e5, 1e6, 1e8])
@pytest.mark.parametrize("n", [10, 33, 100])
def test_large_costs_of_sets_of_equal_size(n, ratio):
    """The plan without regularisation is a permutation, so that its potentials are far from unique."""
    cost = 0.1 * ratio * torch.rand(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    solution = solve_transport(cost, 0.1)
    assert solution.regularisation == pytest.approx(max(0.1, float(cost.max()) / 1e5))
    exponents = (solution.source[:, None] + solution.target - cost) / solution.regularisation
    for axis in (0, 1):
        assert float((exponents.exp().mean(dim=axis) - 1).abs().mean()) < 2e-5
    rows, columns = linear_sum_assignment(cost.numpy())
    exact = float(cost[rows, columns].mean())
    assert exact < solution.cost < exact + solution.regularisation * math.log(n) + 1e-7 * float(cost.max())


def test_from_a_ratio_on_the_regularisation_grows_with_the_costs():
    cost = torch.rand(12, 9, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    cost /= cost.max()
    assert solve_transport(cost * 9999, 0.1).regularisation == 0.1
    below, above = (solve_transport(cost * 1e4 * scale, 0.1).source for scale in (1, 1 + 1e-9))
    torch.testing.assert_close(below, above, rtol=1e-6, atol=1e-4)  # continuous
    torch.testing.assert_close(solve_transport(cost * 1e7, 0.1).source, 1e3 * below, rtol=1e-9, atol=1e-3)
    assert solve_transport(cost * 1e200, 0.1).source.isfinite().all()


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_raw_data_have_nearly_the_values_of_linear_programs(load):
    """Features that are not scaled: the largest cost is some million times 0.1."""
    x, labels = load(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(x))[:68]
    (x, z), (labels, labels_valid) = np.split(x[order], [41]), np.split(labels[order], [41])
    total = squared_distances(x, z)
    for i in np.unique(labels):
        for j in np.unique(labels_valid):
            block = np.ix_(labels == i, labels_valid == j)
            total[block] += exact_transport(total[block])[1]
    expected = -exact_transport(total)[0]
    data = (torch.as_tensor(x), one_hot(labels, 3), torch.as_tensor(z), one_hot(labels_valid, 3))
    evaluator = Lava().input_data(*data).train_data_values()
    assert total.max() > 1e6
    assert evaluator.diagnostics_["regularisation"] == pytest.approx(total.max() / 1e5, rel=1e-3)
    actual = evaluator.evaluate_data_values() * 40 / 41
    np.testing.assert_allclose(actual, expected - expected.mean(), atol=0.01 * expected.std())


def test_raw_data_in_sets_of_equal_size():
    x, labels = load_breast_cancer(return_X_y=True)
    parts = x[:80], labels[:80], x[80:160], labels[80:160]
    actual = lava(*parts)
    assert np.isfinite(actual).all()
    assert len(np.unique(actual)) == 80


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e200])
def test_features_that_are_infinite_or_no_numbers_are_an_error(small, value):
    x, labels, z, labels_valid = small
    x = x.copy()
    x[2, 1] = value
    for variant, message in (("paper", "infinite or not a number"), ("opendataval", "scale the features")):
        with pytest.raises(UserError, match=message):
            lava(x, labels, z, labels_valid, variant=variant)


def test_equal_points_have_equal_values_but_not_in_opendatavals_variant():
    x, y = torch.ones(6, 2), one_hot([0, 1, 2, 0, 1, 2], 3)
    apart = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    moved = torch.cat([apart[:1], apart[:5] + 1])
    lone = one_hot([0, 1, 1, 1, 2, 2], 3)
    for data in ((x, y, x, y), (x, y, apart, y), (apart, lone, moved, lone)):
        evaluator = Lava().input_data(*data).train_data_values()
        assert np.isfinite(evaluator.evaluate_data_values()).all()
        with torch.random.fork_rng(), pytest.raises(ValueError, match="Maximum allowed size"):  # the fault
            stock.LavaEvaluator().input_data(*data).train_data_values()
        with pytest.raises(UserError, match="variant 'opendataval' of lava cannot compare"):
            Lava(variant="opendataval").input_data(*data).train_data_values()
    assert (lava(x, [0, 1, 2, 0, 1, 2], apart, [0, 1, 2, 0, 1, 2]) == 0).all()


@pytest.mark.parametrize("variant", ["paper", "opendataval"])
def test_the_order_of_players_and_of_classes_changes_nothing(small, variant):
    x, labels, z, labels_valid = small
    x, z = x / 30, z / 30
    expected, order = lava(x, labels, z, labels_valid, variant=variant), np.random.default_rng(0).permutation(7)
    rows = np.array([3, 1, 0, 2])
    reordered = lava(x[order], labels[order], z[rows], labels_valid[rows], variant=variant)
    np.testing.assert_allclose(reordered, expected[order], atol=1e-5)
    renamed = np.array([2, 0, 1])
    np.testing.assert_allclose(lava(x, renamed[labels], z, renamed[labels_valid], variant=variant), expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["paper", "opendataval"])
def test_257_players_of_which_opendataval_makes_a_batch_of_one(variant):
    big = build_problem("digits", Sizes(train=257, validation=20, test=10), Noise(), 0)
    assert np.isfinite(values(big, variant=variant)).all()
    parts = (big.train.x, big.train.y, big.validation.x, big.validation.y)
    with torch.random.fork_rng(), pytest.raises(RuntimeError, match="zero-dimensional"):  # the fault
        stock.LavaEvaluator().input_data(*parts).train_data_values()


def test_opendatavals_variant_is_its_computation(problem):
    with torch.random.fork_rng():
        theirs = stock.LavaEvaluator().input_data(
            problem.train.x, problem.train.y, problem.validation.x, problem.validation.y
        )
        expected = theirs.train_data_values().evaluate_data_values()
    np.testing.assert_allclose(values(problem, variant="opendataval"), expected, rtol=1e-4, atol=1e-4)
    assert spearmanr(values(problem), expected)[0] < 0.95  # the fault: it stops before it has converged
    with pytest.raises(ValueError, match="variant is 'paper' or 'opendataval', not 'authors'"):
        Lava(variant="authors")


def test_opendataval_halves_distances_between_classes_once_more():
    """All points of a class are equal, so half a squared distance is also the cost of transport between classes."""
    x, z, y = torch.tensor([[0.0], [0.1]]), torch.tensor([[2.0], [2.1]]), one_hot([0, 1], 2)
    distance = DatasetDistance(x, y, z, y)
    between = distance._get_label_distances()[:2, 2:]
    expected = squared_distances(x.numpy(), z.numpy())
    np.testing.assert_allclose(between, expected, rtol=1e-5)
    f, g = distance.dual_sol()
    assert exact_transport(2 * expected)[1] == pytest.approx(4, abs=0.1)
    assert float(f.mean() + g.mean()) == pytest.approx(3, abs=0.1)  # the fault


def test_a_class_that_one_set_lacks_is_no_obstacle(small):
    x, labels, z, labels_valid = small
    without = np.where(labels_valid == 2, 0, labels_valid)
    assert np.isfinite(lava(x, labels, z, without)).all()
    assert np.isfinite(lava(x, np.minimum(labels, 1), z, labels_valid)).all()
    with pytest.raises(Exception, match="every class in the validation set"):
        lava(x, labels, z, without, variant="opendataval")


def test_a_single_player_has_the_value_zero():
    x = torch.zeros(1, 2)
    assert Lava().input_data(x, one_hot([0], 2), x, one_hot([1], 2)).train_data_values().evaluate_data_values() == [0]


def test_a_mislabelled_point_has_the_lowest_value():
    x = torch.cat([torch.randn(20, 2, generator=torch.Generator().manual_seed(0)) + centre for centre in (0.0, 9.0)])
    y = torch.arange(40) // 20
    flipped = y.clone()
    flipped[7] = 1
    evaluator = Lava().input_data(x, one_hot(flipped, 2), x + 0.1, one_hot(y, 2)).train_data_values()
    assert evaluator.evaluate_data_values().argmin() == 7


OTHER_PROCESSOR = """
import sys, numpy as np, torch
from evaluators.common.optimal_transport import solve_transport
x, z = (torch.from_numpy(part) for part in np.load(sys.argv[1]))
np.save(sys.argv[1], solve_transport(torch.cdist(x, z).square() / 2, 0.1).source.numpy())
"""


def test_another_processor_has_the_same_values_up_to_rounding(problem, tmp_path, monkeypatch):
    x, z = (part.x.flatten(1).double() for part in (problem.train, problem.validation))
    expected = solve_transport(torch.cdist(x, z).square() / 2, 0.1).source.numpy()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    np.save(tmp_path / "data.npy", torch.stack([x, z]))
    subprocess.run([sys.executable, "-c", OTHER_PROCESSOR, tmp_path / "data.npy"], check=True)
    assert np.ptp(expected) > 10
    np.testing.assert_allclose(np.load(tmp_path / "data.npy"), expected, rtol=0, atol=1e-5)
