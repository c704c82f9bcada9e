"""Robust volume Shapley on examples computed by hand, the paper's bound, and faults of OpenDataVal's utility."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from opendataval.dataval.volume.rvs import compute_robust_volumes, compute_x_tilde_and_counts

from dvbench.errors import UserError
from evaluators import RobustVolumeShapley
from evaluators.baselines.robust_volume_shapley import RobustVolume


def values(x, **params):
    x = torch.as_tensor(x)
    evaluator = RobustVolumeShapley(random_state=0, **params).input_data(x, torch.eye(len(x)), x, torch.eye(len(x)))
    return evaluator.train_data_values().evaluate_data_values()


def test_two_copies_of_a_point_in_one_cube():
    """Unit vectors, the first of them twice: two cubes, so that a = 1 / 20."""
    volume = RobustVolume(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), omega=0.1)
    assert volume.alpha == pytest.approx(0.05)
    assert volume([]) == volume([0]) == volume([2]) == volume([0, 1]) == 0
    assert volume([0, 2]) == volume([1, 2]) == pytest.approx(1.05 * 1.05)
    assert volume([0, 1, 2]) == pytest.approx((1 + 0.05 + 0.05**2) * 1.05)


def test_points_near_each_other_count_as_their_mean():
    points = np.array([[0.0, 2.0], [0.04, 2.0], [3.0, 0.0]])
    volume = RobustVolume(points, omega=0.1)
    # Area of the parallelogram of the mean, (0.02, 2), and (3, 0).
    assert volume([0, 1, 2]) == pytest.approx(6 * (1 + 0.05 + 0.05**2) * 1.05)
    assert RobustVolume(points, omega=0.01)([0, 1, 2]) == pytest.approx(
        np.sqrt(np.linalg.det(points.T @ points)) * (1 + 1 / 30) ** 3
    )


def test_values_of_three_points_by_their_six_orders():
    x = np.array([[0.0, 0.0], [4.0, 1.0], [-1.0, 3.0]])
    evaluator = RobustVolumeShapley().input_data(torch.as_tensor(x), torch.eye(3), torch.as_tensor(x), torch.eye(3))
    points = evaluator.x_train.numpy()
    np.testing.assert_allclose(points.T @ points / 2, np.eye(2), atol=1e-12)  # unit variances

    def area(i, j):
        return abs(points[i, 0] * points[j, 1] - points[i, 1] * points[j, 0]) * (1 + 1 / 30) ** 2

    whole = np.sqrt(np.linalg.det(points.T @ points)) * (1 + 1 / 30) ** 3
    expected = np.zeros(3)
    for first, second, third in permutations(range(3)):
        expected[second] += area(first, second) / 6
        expected[third] += (whole - area(first, second)) / 6
    np.testing.assert_allclose(evaluator.train_data_values().evaluate_data_values(), expected, rtol=1e-9)
    assert expected.sum() == pytest.approx(whole)


@pytest.mark.parametrize("copies", [2, 5, 50])
def test_copies_add_no_more_than_the_papers_bound(copies):
    points = np.random.default_rng(0).normal(size=(20, 3))
    replicated = np.concatenate([points] * copies)
    once, often = RobustVolume(points, 0.1), RobustVolume(replicated, 0.1)
    assert once.alpha == often.alpha  # copies occupy no further cube
    ratio = once(range(20)) / often(range(20 * copies))
    assert (1 - once.alpha**2) ** 20 <= ratio < 1
    plain = np.sqrt(np.linalg.det(points.T @ points) / np.linalg.det(replicated.T @ replicated))
    assert plain == pytest.approx(copies**-1.5)  # the plain volume has no such bound


def test_copies_share_what_one_point_is_worth():
    x = np.random.default_rng(1).normal(size=(12, 3))
    alone, copied = values(x, permutations=400), values(np.concatenate([x, x[:1], x[:1]]), permutations=400)
    np.testing.assert_allclose(copied[[0, 12, 13]], copied[0], rtol=0.15)
    assert copied[0] / copied[1:12].mean() < 0.55 * alone[0] / alone[1:12].mean()


def test_real_data_have_one_point_in_a_cube(problem):
    """So cubes change nothing but the factor, which depends on the number of points alone."""
    x = problem.train.x
    evaluator = RobustVolumeShapley().input_data(x, problem.train.y, x, problem.train.y)
    points = evaluator.x_train.numpy()
    plain = np.sqrt(np.linalg.det(points.T @ points))
    assert evaluator.volume(range(60)) == pytest.approx(plain * (1 + 1 / 600) ** 60)


def test_equal_points_have_no_volume_and_no_value():
    np.testing.assert_array_equal(values(np.ones((5, 3))), np.zeros(5))


@pytest.mark.parametrize("x", [np.ones((5, 3)), np.array([[1.0, 2.0]])])
def test_opendatavals_variant_refuses_equal_points(x):
    np.testing.assert_array_equal(values(x), np.zeros(len(x)))
    with pytest.raises(UserError, match="variant 'opendataval' of robust_volume_shapley needs two points that differ"):
        values(x, variant="opendataval")


def test_features_that_are_infinite_or_no_numbers_are_an_error():
    for value in (np.inf, np.nan):
        with pytest.raises(UserError, match="infinite or not a number"):
            values(np.array([[1.0, 2.0], [value, 0.0]]))


def test_opendatavals_variant_is_its_utility():
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    ours = RobustVolumeShapley(omega=0.3, variant="opendataval").input_data(x, torch.eye(6), x, torch.eye(6))
    for coalition in ([0], [0, 1], [0, 1, 2, 3, 4, 5]):
        theirs = compute_robust_volumes(*compute_x_tilde_and_counts(ours.x_train[coalition], 0.3))
        assert ours._evaluate_volume(coalition) == float(theirs)
    assert np.ptp(ours.train_data_values().evaluate_data_values()) > 0


def test_opendatavals_cubes_move_with_the_coalition():
    points = torch.tensor([[0.0], [0.04], [0.06]])
    assert sorted(compute_x_tilde_and_counts(points, 0.05)[1].values()) == [1, 2]
    assert sorted(compute_x_tilde_and_counts(points[1:], 0.05)[1].values()) == [2]  # the fault: both were apart before
    volume = RobustVolume(points.numpy(), 0.05)
    assert volume([1, 2]) == pytest.approx(np.hypot(0.04, 0.06) * (1 + 1 / 20) ** 2)


def test_opendatavals_factor_and_volume_depend_on_the_coalition():
    unit = torch.eye(2, dtype=torch.double)
    both, lone = (compute_robust_volumes(*compute_x_tilde_and_counts(part, 0.1)) for part in (unit, unit[:1]))
    assert float(both) == pytest.approx(1.05**2)
    assert float(lone) == pytest.approx(1e-4 * 1.1)  # the faults: a volume of one point, and a = 1 / 10, not 1 / 20
    assert RobustVolume(unit.numpy(), 0.1)([0]) == 0


def test_cubes_do_not_depend_on_the_arbitrary_signs_of_axes(monkeypatch):
    x, svd = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.linalg.svd

    def mirrored(*args, **kwargs):
        left, scales, axes = svd(*args, **kwargs)
        return -left, scales, -axes

    projected = RobustVolumeShapley().input_data(x, torch.eye(8), x, torch.eye(8)).x_train
    monkeypatch.setattr(torch.linalg, "svd", mirrored)
    torch.testing.assert_close(RobustVolumeShapley().input_data(x, torch.eye(8), x, torch.eye(8)).x_train, projected)


@pytest.mark.parametrize(("params", "message"), [
    ({"variant": "authors"}, "variant is 'paper' or 'opendataval', not 'authors'"),
    ({"omega": 0.0}, "omega is a finite number above 0"),
    ({"omega": -0.1}, "omega is a finite number above 0"),
    ({"omega": math.nan}, "omega is a finite number above 0"),
    ({"components": -1}, "components is a whole number of at least 1, not -1"),
    ({"components": 0}, "components is a whole number of at least 1, not 0"),
    ({"components": 2.5}, "components is a whole number of at least 1, not 2.5"),
    ({"components": True}, "components is a whole number of at least 1, not True"),
    ({"omega": 1.5, "variant": "opendataval"}, "at most 1"),
])  # fmt: skip
def test_wrong_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        RobustVolumeShapley(**params)
