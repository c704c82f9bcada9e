"""Problems whose players are subsets of the training set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.utils.data import Subset

from dvbench.errors import UserError
from dvbench.problems.build import build_problem
from dvbench.problems.groups import assign
from dvbench.problems.source import Source, classification
from dvbench.problems.subsets import Subsets
from dvbench.settings import Groups, Noise, Sizes
from dvbench.training.tensors import as_tensor

SIZES = Sizes(train=103, validation=50, test=60)
TEN = Groups(by="random", count=10)


def test_random_subsets_cut_the_training_set_evenly() -> None:
    problem = build_problem("digits", SIZES, Noise(), 0, TEN)
    assert problem.players == 10
    assert problem.groups is not None
    assert sorted(np.bincount(problem.groups)) == [10] * 7 + [11] * 3
    again = build_problem("digits", SIZES, Noise(), 0, TEN)
    other = build_problem("digits", SIZES, Noise(), 1, TEN)
    np.testing.assert_array_equal(problem.groups, again.groups)
    assert not np.array_equal(problem.groups, other.groups)


def test_grouping_changes_neither_rows_nor_features() -> None:
    points, subsets = (build_problem("digits", SIZES, Noise(), 0, groups) for groups in (None, TEN))
    np.testing.assert_array_equal(points.rows, subsets.rows)
    assert torch.equal(points.train.x, subsets.train.x)
    assert points.revision == subsets.revision
    assert points.players == 103


@pytest.mark.parametrize("kind", ["labels", "features"])
def test_noise_disturbs_whole_subsets(kind) -> None:
    clean = build_problem("digits", SIZES, Noise(), 0, TEN).train
    problem = build_problem("digits", SIZES, Noise(kind=kind, rate=0.2), 0, TEN)
    assert problem.corrupted.shape == (10,)
    assert problem.corrupted.sum() == 2
    differs = (problem.train.y != clean.y).any(dim=1) | (problem.train.x != clean.x).any(dim=1)
    np.testing.assert_array_equal(differs.numpy(), problem.corrupted[problem.groups])


def test_classes_are_groups() -> None:
    problem = build_problem("digits", SIZES, Noise(), 0, Groups(by="classes"))
    np.testing.assert_array_equal(problem.groups, problem.train.y.argmax(dim=1).numpy())


def write_table(folder: Path, providers: list[str]) -> str:
    rng = np.random.default_rng(0)
    lines = ["a,b,provider,kind"]
    lines += [f"{rng.normal():.3f},{rng.normal():.3f},{name},{i % 2}" for i, name in enumerate(providers)]
    (folder / "table.csv").write_text("\n".join(lines))
    return f"csv:{folder / 'table.csv'}"


def test_a_column_of_a_table_groups_its_rows_and_is_no_feature(tmp_path) -> None:
    providers = ["north", "south", "south", "west"] * 20
    dataset = write_table(tmp_path, providers)
    problem = build_problem(
        dataset, Sizes(train=40, validation=20, test=20), Noise(), 0, Groups(by="column", column="provider")
    )
    assert problem.shape == (2,)
    names = ["north", "south", "west"]
    assert [names[group] for group in problem.groups] == [providers[row] for row in problem.rows]


def test_what_cannot_be_grouped_is_refused(tmp_path) -> None:
    def build(dataset: str, **groups: object) -> None:
        build_problem(dataset, SIZES, Noise(), 0, Groups.model_validate(groups))

    with pytest.raises(UserError, match="103 training points of digits cannot be divided into 104 subsets"):
        build("digits", by="random", count=104)
    with pytest.raises(UserError, match="diabetes is a regression, which has no classes"):
        build("diabetes", by="classes")
    with pytest.raises(UserError, match="'digits' is not a table"):
        build("digits", by="column", column="pixel")
    with pytest.raises(UserError, match=r"no column of .* is named 'provide': did you mean 'provider'"):
        build(write_table(tmp_path, ["a", "b"] * 40), by="column", column="provide")
    with pytest.raises(UserError, match="is the label: group by another column"):
        build(write_table(tmp_path, ["a", "b"] * 40) + "?label=kind", by="column", column="kind")
    with pytest.raises(UserError, match="there is only one group"):
        build(write_table(tmp_path, ["a"] * 80), by="column", column="provider")
    sizes, rare = Sizes(train=3, validation=30, test=40), write_table(tmp_path, [*["a", "b"] * 39, "a", "rare"])
    with pytest.raises(UserError, match="group 'rare' has no point in the training set of"):
        build_problem(rare, sizes, Noise(), 0, Groups(by="column", column="provider"))
    for wrong in ({"by": "random"}, {"by": "classes", "count": 3}, {"by": "column"}, {"by": "random", "count": 1}):
        with pytest.raises(ValidationError):
            Groups.model_validate(wrong)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.data())
def test_subsets_expand_to_their_points(numbers, data) -> None:
    _, groups = np.unique(numbers, return_inverse=True)
    points = torch.arange(len(groups) * 2.0).reshape(-1, 2)
    subsets = Subsets(points, groups)
    assert len(subsets) == groups.max() + 1
    coalition = data.draw(st.lists(st.sampled_from(range(len(subsets))), unique=True))
    members = [i for group in coalition for i in np.flatnonzero(groups == group)]
    assert subsets.expand(coalition).tolist() == members
    assert torch.equal(as_tensor(Subset(subsets, coalition)), points[members])
    assert torch.equal(as_tensor(Subset(Subset(subsets, coalition), range(len(coalition)))), points[members])
    for group in range(len(subsets)):
        assert torch.equal(subsets[group], points[groups == group])
    assert sorted(as_tensor(subsets)[:, 0].tolist()) == points[:, 0].tolist()


def test_the_fetcher_of_subsets_has_no_more_than_that_of_points() -> None:
    problem = build_problem("digits", SIZES, Noise(kind="labels", rate=0.2), 0, TEN)
    x, y, x_valid, y_valid, x_test, _ = problem.subset_fetcher().datapoints
    assert (len(x), len(y)) == (10, 10)
    assert torch.equal(x.points, problem.train.x)
    assert torch.equal(x_valid, problem.validation.x)
    assert torch.equal(x_test, problem.validation.x)
    assert torch.equal(y_valid, problem.validation.y)
    with pytest.raises(ValueError, match="players of this problem are points"):
        build_problem("digits", SIZES, Noise(), 0).subset_fetcher()


def test_values_of_points_are_summed() -> None:
    problem = build_problem("digits", SIZES, Noise(), 0, TEN)
    values = np.random.default_rng(0).normal(size=103)
    expected = [values[problem.groups == player].sum() for player in range(10)]
    np.testing.assert_allclose(problem.summed(values), expected)
    np.testing.assert_array_equal(problem.points_of(np.array([3, 1])), np.flatnonzero(np.isin(problem.groups, [1, 3])))


@given(st.integers(2, 60), st.integers(0, 5))
def test_the_largest_of_unequal_subsets_has_ten_times_the_points_of_the_smallest(count: int, seed: int) -> None:
    points = 40 * count
    groups = Groups(by="random", count=count, sizes="unequal")
    subsets = assign(groups, made_up_source(points), np.arange(points), "made up", np.random.default_rng(seed))
    sizes = np.sort(np.bincount(subsets, minlength=count))
    assert sizes.sum() == points
    assert 7 <= sizes[-1] / sizes[0] <= 10.5
    few = assign(groups, made_up_source(count), np.arange(count), "made up", np.random.default_rng(seed))
    assert sorted(few) == list(range(count))  # none is empty


def made_up_source(points: int) -> Source:
    return classification(np.zeros((points, 1)), np.arange(points) % 2, ("a", "b"))


def test_graded_noise_makes_noisy_subsets_of_different_quality() -> None:
    noise = Noise(kind="labels", rate=0.5, draw="graded")
    assert str(noise) == "labels0.5-graded"
    clean = build_problem("digits", SIZES, Noise(), 0, TEN).train
    problem = build_problem("digits", SIZES, noise, 0, TEN)
    wrong = (problem.train.y != clean.y).any(dim=1).numpy()
    shares = np.bincount(problem.groups, wrong) / np.bincount(problem.groups)
    np.testing.assert_allclose(sorted(shares[problem.corrupted]), [0.2, 0.4, 0.6, 0.8, 1.0], atol=0.05)
    assert not shares[~problem.corrupted].any()
    with pytest.raises(UserError, match="of groups, not of points"):
        build_problem("digits", SIZES, noise, 0)


def test_sizes_and_graded_noise_where_they_have_no_meaning() -> None:
    with pytest.raises(ValidationError, match="sizes are a setting of groups by 'random'"):
        Groups(by="classes", sizes="unequal")
    with pytest.raises(ValidationError, match="the validation set has none"):
        Noise(kind="labels", rate=0.5, draw="graded", validation=True)
    assert str(Groups(by="random", count=30, sizes="unequal")) == "30unequal"
