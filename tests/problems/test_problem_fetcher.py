"""The fetcher that evaluators are given holds copies of train and validation data, and nothing of the test set."""

from __future__ import annotations

import gc
from types import FunctionType, ModuleType

import numpy as np
import pytest
import torch

from dvbench.problems.build import build_problem
from dvbench.problems.problem import Problem
from dvbench.settings import Noise, Sizes


@pytest.fixture(scope="module")
def problem() -> Problem:
    sizes = Sizes(train=30, validation=20, test=40)
    return build_problem("digits", sizes, Noise(kind="labels", rate=0.2), seed=0)


def reachable_objects(root: object) -> list[object]:
    """All objects that an object refers to, directly or not, except classes and modules."""
    seen: dict[int, object] = {}
    queue = [root]
    while queue:
        item = queue.pop()
        if id(item) in seen or isinstance(item, type | ModuleType):
            continue
        seen[id(item)] = item
        # A function's globals lead to the whole program, and every evaluator can import that.
        queue += list(item.__closure__ or ()) if isinstance(item, FunctionType) else gc.get_referents(item)
    return list(seen.values())


def holds(objects: list[object], rows: torch.Tensor) -> bool:
    """Whether one of the objects is an array or tensor with these rows."""
    arrays = [np.asarray(one) for one in objects if isinstance(one, np.ndarray | torch.Tensor)]
    return any(a.shape == tuple(rows.shape) and np.array_equal(a, rows.numpy()) for a in arrays)


def test_the_search_finds_what_is_there(problem: Problem) -> None:
    objects = reachable_objects(problem)
    for split in (problem.train, problem.validation, problem.test):
        assert holds(objects, split.x)


def test_the_test_set_cannot_be_reached_from_the_fetcher(problem: Problem) -> None:
    objects = reachable_objects(problem.fetcher())
    assert holds(objects, problem.train.x)
    assert holds(objects, problem.validation.x)
    assert not holds(objects, problem.test.x)
    assert not holds(objects, problem.test.y)
    assert not any(isinstance(one, np.ndarray) and np.array_equal(one, problem.corrupted) for one in objects)


def test_the_test_set_cannot_be_reached_from_the_metric(problem: Problem) -> None:
    objects = reachable_objects(problem.metric)
    assert not any(one is problem for one in objects)
    assert not holds(objects, problem.test.x)


def test_the_fetchers_test_slot_holds_the_validation_set(problem: Problem) -> None:
    x_train, y_train, *others = problem.fetcher().datapoints
    np.testing.assert_array_equal(x_train, problem.train.x)
    np.testing.assert_array_equal(y_train, problem.train.y)
    for part, expected in zip(others, [problem.validation.x, problem.validation.y] * 2, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_changes_of_a_fetcher_do_not_reach_the_problem(problem: Problem) -> None:
    before = problem.train.x.clone(), problem.validation.y.clone()
    for part in problem.fetcher().datapoints:
        part[:] = 0
    assert torch.equal(problem.train.x, before[0])
    assert torch.equal(problem.validation.y, before[1])
    assert problem.fetcher().datapoints[0].any()


def test_size_and_shape_of_a_problem(problem: Problem) -> None:
    assert (len(problem.train), len(problem.validation), len(problem.test)) == (30, 20, 40)
    assert (problem.shape, problem.outputs, problem.corrupted.sum()) == ((64,), 10, 6)


def test_metric_of_classes_is_accuracy(problem: Problem) -> None:
    labels = torch.eye(3)[[0, 1, 2, 0]]
    assert problem.metric(labels, torch.eye(3)[[0, 1, 1, 0]]) == 0.75


def test_metric_of_targets_is_the_negative_squared_error() -> None:
    regression = build_problem("diabetes", Sizes(train=20, validation=20, test=20), Noise(), seed=0)
    assert regression.metric(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [5.0]])) == -2
