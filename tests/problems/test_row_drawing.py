from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvbench.errors import UserError
from dvbench.problems.source import Source, classification, regression
from dvbench.problems.splits import draw_rows
from dvbench.settings import Sizes

part_sizes = st.builds(Sizes, train=st.integers(2, 120), validation=st.integers(2, 120), test=st.integers(2, 120))


def labelled(counts: list[int], **options: object) -> Source:
    labels = np.repeat(np.arange(len(counts)), counts)
    return Source("classification", labels, lambda rows: rows, tuple(map(str, range(len(counts)))), **options)  # type: ignore[arg-type]


def draw(source: Source, sizes: Sizes, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return draw_rows(source, sizes, np.random.default_rng(seed))


@given(st.lists(st.integers(3, 60), min_size=2, max_size=8), part_sizes, st.integers(0, 99))
def test_parts_are_disjoint_and_every_class_is_in_every_part_that_can_hold_it(
    counts: list[int], sizes: Sizes, seed: int
) -> None:
    source = labelled(counts)
    parts = draw(source, sizes, seed)
    everything = np.concatenate(parts)
    assert len(set(everything)) == len(everything) == min(sum(counts), sizes.train + sizes.validation + sizes.test)
    for part in parts:
        assert len(part) >= 2
        if len(part) >= len(counts):
            assert set(source.labels[part]) == set(range(len(counts)))


@given(st.lists(st.integers(20, 60), min_size=2, max_size=5), part_sizes, st.integers(0, 99))
def test_classes_keep_their_proportions(counts: list[int], sizes: Sizes, seed: int) -> None:
    source = labelled(counts)
    for part in draw(source, sizes, seed):
        expected = len(part) * np.array(counts) / sum(counts)
        if expected.min() >= 1:
            assert np.abs(np.bincount(source.labels[part], minlength=len(counts)) - expected).max() < 2


def test_a_small_data_set_shrinks_all_parts_in_proportion() -> None:
    assert [len(part) for part in draw(labelled([60, 40]), Sizes(train=400, validation=200, test=400))] == [40, 20, 40]


def test_an_official_test_split_is_the_only_source_of_test_rows_and_shrinks_alone() -> None:
    source = labelled([50, 50], test_rows=np.arange(40, 60))
    train, validation, test = draw(source, Sizes(train=120, validation=40, test=20))
    assert (len(train), len(validation), len(test)) == (60, 20, 20)
    assert set(test) == set(range(40, 60))
    assert not set(test) & {*train, *validation}
    train, validation, test = draw(source, Sizes(train=10, validation=10, test=1000))
    assert (len(train), len(validation), len(test)) == (10, 10, 20)


def test_rows_are_in_random_order() -> None:
    train, _, _ = draw(labelled([100, 100]), Sizes(train=100, validation=50, test=50))
    assert abs(np.corrcoef(np.arange(100), train)[0, 1]) < 0.3


def test_every_row_is_as_likely_to_be_a_player() -> None:
    source = regression(np.zeros((20, 1)), np.arange(20.0))
    drawn = [draw(source, Sizes(train=5, validation=5, test=5), seed)[0] for seed in range(2000)]
    counts = np.bincount(np.concatenate(drawn), minlength=20)
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_too_few_rows() -> None:
    with pytest.raises(UserError, match="5 rows cannot be split"):
        draw(labelled([3, 2]), Sizes(train=2, validation=2, test=2))


@pytest.mark.parametrize("labels", [np.array([0, 1, 3]), np.array([0, -1, 1]), np.array([[0], [1]])])
def test_labels_must_be_numbers_of_classes(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="labels must be"):
        classification(np.zeros((3, 1)), labels, ("a", "b", "c"))


def test_targets_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        regression(np.zeros((2, 1)), np.array([0.0, np.nan]))
