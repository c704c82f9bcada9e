from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from dvbench.errors import UserError
from dvbench.problems.build import build_problem
from dvbench.problems.noise import disturb_features, flip_labels, shift_labels
from dvbench.settings import Groups, Noise, Sizes

rates = st.floats(0.001, 0.999)


def frozen(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


@given(st.integers(2, 300), rates, st.integers(2, 12), st.integers(0, 2**32))
def test_exactly_the_given_fraction_of_labels_is_flipped(n: int, rate: float, classes: int, seed: int) -> None:
    labels = frozen(np.random.default_rng(seed).integers(classes, size=n))
    before = labels.copy()
    flipped, mask = flip_labels(labels, rate, classes, np.random.default_rng(seed))
    assert mask.sum() == max(1, round(rate * n))
    np.testing.assert_array_equal(flipped != labels, mask)
    assert flipped.dtype == np.int64
    assert set(flipped) <= set(range(classes))
    np.testing.assert_array_equal(labels, before)
    assert not np.shares_memory(flipped, labels)


def test_new_labels_are_uniform_over_the_other_classes() -> None:
    labels = np.repeat(np.arange(5), 4000)
    flipped, mask = flip_labels(labels, 0.5, 5, np.random.default_rng(3))
    for label in range(5):
        counts = np.bincount(flipped[mask & (labels == label)], minlength=5)
        assert counts[label] == 0
        assert chisquare(np.delete(counts, label)).pvalue > 0.001
    assert chisquare(np.bincount(labels[mask])).pvalue > 0.001  # and every class is as likely to be flipped


def test_a_single_class_cannot_be_flipped() -> None:
    with pytest.raises(ValueError, match="no other class"):
        flip_labels(np.zeros(5, dtype=np.int64), 0.2, 1, np.random.default_rng(0))


@given(st.integers(2, 100), rates, st.floats(0.01, 10), st.sampled_from([np.float32, np.float64]))
def test_exactly_the_given_fraction_of_points_is_disturbed(n: int, rate: float, sigma: float, dtype: type) -> None:
    x = frozen(np.random.default_rng(n).normal(size=(n, 2, 3)).astype(dtype))
    before = x.copy()
    disturbed, mask = disturb_features(x, rate, sigma, np.random.default_rng(n))
    assert mask.sum() == max(1, round(rate * n))
    np.testing.assert_array_equal((disturbed != x).any(axis=(1, 2)), mask)
    assert disturbed.dtype == dtype
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(disturbed, x)


def test_feature_noise_is_gaussian_with_the_given_deviation() -> None:
    x = np.full((2000, 5), 7.0)
    disturbed, mask = disturb_features(x, 0.5, 2.5, np.random.default_rng(0))
    assert kstest((disturbed - x)[mask].ravel() / 2.5, "norm").pvalue > 0.001


def test_points_disturbed_at_a_low_rate_are_disturbed_at_a_higher_one() -> None:
    labels = np.arange(50) % 3
    low = flip_labels(labels, 0.1, 3, np.random.default_rng(1))[1]
    high = flip_labels(labels, 0.4, 3, np.random.default_rng(1))[1]
    assert not (low & ~high).any()


@given(st.lists(st.integers(0, 4), min_size=30, max_size=60), st.integers(0, 2**31))
def test_labels_of_every_second_class_become_the_next_class(drawn: list[int], seed: int) -> None:
    labels = np.array([*drawn, *range(5)], dtype=np.int64)
    able = sum(max(0, np.sum(labels == label) - 1) for label in (0, 2))
    rate = 0.1
    count = max(1, round(rate * len(labels)))
    if count > able:
        with pytest.raises(ValueError, match=rf"only {able} points .* needs {count}: lower it"):
            shift_labels(labels, rate, 5, np.random.default_rng(seed))
        return
    shifted, chosen = shift_labels(labels, rate, 5, np.random.default_rng(seed))
    assert chosen.sum() == count
    np.testing.assert_array_equal(shifted[chosen], labels[chosen] + 1)
    np.testing.assert_array_equal(shifted[~chosen], labels[~chosen])
    assert set(labels[chosen]) <= {0, 2}  # not 4, which no class follows
    assert set(range(5)) <= set(shifted)  # no class is lost


def test_noise_that_depends_on_the_class_in_a_problem() -> None:
    noise = Noise(kind="labels", rate=0.2, draw="next")
    assert str(noise) == "labels0.2-next"
    problem = build_problem("breast_cancer", Sizes(train=100, validation=50, test=50), noise, 0)
    clean = build_problem("breast_cancer", Sizes(train=100, validation=50, test=50), Noise(), 0)
    assert problem.corrupted.sum() == 20
    assert set(clean.train.y.argmax(dim=1)[problem.corrupted].tolist()) == {0}
    assert set(problem.train.y.argmax(dim=1)[problem.corrupted].tolist()) == {1}
    np.testing.assert_array_equal(problem.train.y[~problem.corrupted], clean.train.y[~problem.corrupted])
    with pytest.raises(UserError, match="lower it"):
        build_problem(
            "breast_cancer", Sizes(train=100, validation=50, test=50), noise.model_copy(update={"rate": 0.5}), 0
        )
    with pytest.raises(UserError, match="draw = 'next' are those of points"):
        build_problem(
            "breast_cancer", Sizes(train=100, validation=50, test=50), noise, 0, Groups(by="random", count=10)
        )
