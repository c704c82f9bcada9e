"""Selection strategies against brute force and plain references on random factors."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from made_up_points import HOW, full_gradients, some_points
from scipy.optimize import nnls

from dvbench.registry import entries
from dvbench.selecting.choosing import choose
from dvbench.selecting.contract import Look, Points
from dvbench.selecting.factory import make_strategy
from dvbench.selecting.gradients import Gradients
from dvbench.selection.grad_match_pb import matching_pursuit

NAMES = [name for name in entries("selection") if name not in ("full", "evaluator_values")]


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def shapley_by_brute_force(x: np.ndarray) -> np.ndarray:
    """Mean marginal contribution over all orders, of the utility of the paper."""
    target = x.mean(axis=0)

    def utility(members: tuple[int, ...]) -> float:
        if not members:
            return 0.0
        return target @ target - np.sum((target - x[list(members)].mean(axis=0)) ** 2)

    values = np.zeros(len(x))
    for order in permutations(range(len(x))):
        for place, player in enumerate(order):
            values[player] += utility(order[: place + 1]) - utility(order[:place])
    return values / math.factorial(len(x))


@pytest.mark.parametrize(("name", "hard"), [("chg_shapley", True), ("gradient_shapley", False)])
def test_shapley_strategies_keep_the_highest_values_of_each_class(name: str, hard: bool) -> None:
    points = some_points(15)
    factor = points.losses.numpy()[:, None] if hard else 1.0
    features = full_gradients(points) * factor
    expected = []
    for label in range(3):
        members = np.flatnonzero(points.labels.numpy() == label)
        values = shapley_by_brute_force(features[members])
        expected += members[np.argsort(-values)[:2]].tolist()
    chosen = choose(make_strategy(name), points, 6, rng())
    assert chosen.indices.tolist() == sorted(expected)
    assert (chosen.weights == 1).all()


def test_normalised_weights_are_values_from_0_to_1() -> None:
    points = some_points(15)
    chosen = choose(make_strategy("chg_shapley", weights="normalised", per_class=False), points, 6, rng())
    features = full_gradients(points) * points.losses.numpy()[:, None]
    values = make_strategy("chg_shapley").values(points).numpy()
    assert values.sum() == pytest.approx(features.mean(axis=0) @ features.mean(axis=0))
    kept = values[chosen.indices]
    np.testing.assert_allclose(chosen.weights, (kept - kept.min()) / np.ptp(kept), atol=1e-3)


def test_hardness_tracin_cgsv_and_el2n_rank_by_what_they_say() -> None:
    points = some_points(12)
    x = full_gradients(points)
    mean = x.mean(axis=0)
    expected = {
        "hardness_shapley": points.losses.numpy(),
        "trac_in": x @ mean,
        "cgsv": x @ mean / np.linalg.norm(x, axis=1) * 1.0,
        "el2n": np.linalg.norm(points.gradients.left.numpy(), axis=1),
    }
    for name, values in expected.items():
        rows, weights = make_strategy(name).choose(points, 5, rng())
        assert rows.tolist() == np.argsort(-values, kind="stable")[:5].tolist(), name
        assert weights is None


def test_glister_is_greedy_on_the_validation_loss() -> None:
    """With all points as candidates: a plain loop that recomputes the gradient of the validation loss in each step."""
    points = some_points(10)
    x, validation = full_gradients(points), points.validation
    inputs, classes = validation.gradients.right.numpy(), 3
    labels = np.eye(classes)[validation.labels.numpy()]
    moved, expected = np.zeros((classes, inputs.shape[1])), []
    for _ in range(4):
        logits = validation.logits.numpy() + inputs @ moved.T
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        gradient = (shifted / shifted.sum(axis=1, keepdims=True) - labels).T @ inputs
        gains = x @ gradient.ravel()
        gains[expected] = -np.inf
        expected.append(int(gains.argmax()))
        moved -= HOW.lr * x[expected[-1]].reshape(moved.shape)
    rows, weights = make_strategy("glister", epsilon=1e-9).choose(points, 4, rng())
    assert rows.tolist() == expected
    assert weights is None


def test_glister_never_chooses_a_point_twice() -> None:
    for budget in (1, 7, 40):
        rows, _ = make_strategy("glister", epsilon=0.5).choose(some_points(40), budget, rng())
        assert len(set(rows.tolist())) == budget


def plain_pursuit(columns: np.ndarray, target: np.ndarray, count: int) -> list[float]:
    """Norms of what is left of the target, by orthogonal matching pursuit as it is written down."""
    active, left, norms = [], target, []
    for _ in range(count):
        active.append(int(np.argmax([-np.inf if j in active else c @ left for j, c in enumerate(columns.T)])))
        weights, norm = nnls(columns[:, active], target)
        left = target - columns[:, active] @ weights
        norms.append(norm)
    return norms


def pursuit(columns: np.ndarray, target: np.ndarray, count: int) -> np.ndarray:
    return matching_pursuit(columns.T @ columns, columns.T @ target, count)


def test_matching_pursuit_leaves_what_a_plain_one_leaves() -> None:
    generator = np.random.default_rng(1)
    columns = generator.normal(size=(30, 12)) + 0.5
    target = columns.sum(axis=1)
    expected = plain_pursuit(columns, target, 8)
    for count in range(1, 9):
        weights = pursuit(columns, target, count)
        assert (weights >= 0).all()
        assert np.count_nonzero(weights) <= count
        assert np.linalg.norm(target - columns @ weights) == pytest.approx(expected[count - 1])
    np.testing.assert_allclose(pursuit(columns, target, 12), 1, atol=1e-8)


def test_matching_pursuit_chooses_no_duplicate() -> None:
    generator = np.random.default_rng(2)
    columns = generator.normal(size=(20, 6))
    twice = np.concatenate([columns, columns], axis=1)
    for count in range(1, 13):
        weights = pursuit(twice, twice.sum(axis=1), count).reshape(2, 6)
        assert (np.count_nonzero(weights, axis=0) <= 1).all()


def test_grad_match_gives_a_batch_one_weight() -> None:
    points = some_points(20)  # five batches of four
    rows, weights = make_strategy("grad_match_pb").choose(points, 10, rng())
    assert len(rows) == len(weights) == 10
    columns = full_gradients(points).reshape(5, 4, -1).mean(axis=1).T
    expected = pursuit(columns, columns.sum(axis=1), 3)
    np.testing.assert_allclose(weights, expected[rows // 4])
    assert {int(row) // 4 for row in rows} == set(np.flatnonzero(expected))


def test_craig_lowers_the_distance_to_the_nearest_most_and_weighs_by_clusters() -> None:
    points = some_points(9, classes=2)
    x = full_gradients(points)
    distances = np.linalg.norm(x[:, None] - x, axis=2)
    rows, weights = make_strategy("craig").choose(points, 1, rng())
    assert rows.tolist() == [int(distances.sum(axis=0).argmin())]
    assert weights.tolist() == [9]
    rows, weights = (each.tolist() for each in make_strategy("craig").choose(points, 2, rng()))
    second = min(
        (pair[1] for pair in ((rows[0], j) for j in range(9))), key=lambda j: distances[:, [rows[0], j]].min(1).sum()
    )
    assert rows[1] == second
    assert weights == np.bincount(distances[:, rows].argmin(axis=1), minlength=2).tolist()


def test_k_centre_is_within_twice_the_best_radius() -> None:
    points = some_points(12)
    x = points.gradients.right.numpy()
    distances = np.linalg.norm(x[:, None] - x, axis=2)
    rows, _ = make_strategy("k_centre").choose(points, 3, rng())
    radius = distances[:, rows.numpy()].min(axis=1).max()
    best = min(distances[:, list(centres)].min(axis=1).max() for centres in combinations(range(12), 3))
    assert radius <= 2 * best + 1e-9
    following = distances[:, rows.numpy()[:2]].min(axis=1)
    assert int(rows[2]) == int(following.argmax())


def test_info_batch_has_the_gradient_of_all_points_in_expectation() -> None:
    points = some_points(40)
    losses = points.losses.numpy()
    high = losses > losses.mean()
    total, draws = np.zeros(40), 4000
    generator = rng()
    for _ in range(draws):
        rows, weights = make_strategy("info_batch").choose(points, 30, generator)
        total[rows] += weights
    np.testing.assert_allclose(total[high], draws)  # always kept, with weight 1
    np.testing.assert_allclose(total / draws, 1, atol=0.1)
    rows, _ = make_strategy("info_batch").choose(points, 3, generator)
    assert high[rows].all()


def test_the_bias_alone_has_a_gradient_of_residuals() -> None:
    points = some_points(9)
    gradients = Gradients(points.gradients.left, torch.ones(9, 1, dtype=torch.float64))
    residuals = points.gradients.left.numpy()
    np.testing.assert_allclose(gradients.squared_norms(), (residuals**2).sum(axis=1))
    np.testing.assert_allclose(gradients.products(gradients), residuals @ residuals.T)


def test_inner_products_are_those_of_the_matrices() -> None:
    points = some_points(8)
    x, gradients = full_gradients(points), points.gradients
    matrix = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(gradients.dots(torch.from_numpy(matrix)), x @ matrix.ravel())
    np.testing.assert_allclose(gradients.mean().flatten(), x.mean(axis=0))
    np.testing.assert_allclose(gradients.distances(gradients), np.linalg.norm(x[:, None] - x, axis=2), atol=1e-6)
    np.testing.assert_allclose(gradients.batch_means(3)[2], x[6:].mean(axis=0))


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_keeps_its_budget_and_repeats(name: str) -> None:
    points = some_points(60)
    for budget in (3, 20, 60):
        one, other = (choose(make_strategy(name), points, budget, rng()) for _ in range(2))
        assert len(one.indices) == len(np.unique(one.indices)) == budget
        assert (np.diff(one.indices) > 0).all()
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("name", NAMES)
def test_no_strategy_fails_on_points_without_gradient(name: str) -> None:
    """All losses are 0: every point is as good as another, and none is NaN."""
    n = 12
    labels = torch.arange(n) % 3
    nothing = Look(Gradients(torch.zeros(n, 3), torch.ones(n, 2)), torch.zeros(n), torch.zeros(n, 3))
    points = Points(labels, lambda: nothing, HOW, lambda: Points(labels, lambda: nothing, HOW))
    assert len(choose(make_strategy(name), points, 6, rng()).indices) == 6
