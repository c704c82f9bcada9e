"""Generators derived from keys: the same key gives the same numbers, and no global state changes."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from dvbench.randomness import (
    generator,
    integer_seed,
    isolated_generators,
    random_state,
    seed_sequence,
    torch_generator,
)

KEY = ("quick", "digits", 0)


def global_states() -> tuple[list[int], list[int]]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002


def test_same_key_same_numbers() -> None:
    np.testing.assert_array_equal(generator(*KEY).random(5), generator(*KEY).random(5))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1,), ("1",)),
        (("a", "b"), ("b", "a")),
        (("ab", "c"), ("a", "bc")),
        (("a", "b"), ("ab",)),
        (("a",), ("a", "")),
        (("a", 1), ("a1",)),
        ((12, 3), (1, 23)),
        ((True,), (1,)),
        (("a", "b"), ("a\x1fstr:b",)),
    ],
)
def test_different_keys_different_numbers(first: tuple[str | int, ...], second: tuple[str | int, ...]) -> None:
    assert generator(*first).random() != generator(*second).random()
    assert integer_seed(*first) != integer_seed(*second)


def test_numbers_of_a_key_are_pinned() -> None:
    """A change here changes every published value."""
    assert integer_seed(*KEY) == 612261840
    assert generator(*KEY).random() == 0.895331623738913


def test_other_processes_give_the_same_numbers() -> None:
    code = f"from dvbench.randomness import integer_seed; print(integer_seed(*{KEY}))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(run.stdout) == integer_seed(*KEY)


@pytest.mark.parametrize("seed", range(20))
def test_integer_seeds_fit_every_interface(seed: int) -> None:
    assert 0 <= integer_seed("any", seed) < 2**32


def test_deriving_and_drawing_touches_no_global_state() -> None:
    before = global_states()
    generator(*KEY).random()
    random_state(integer_seed(*KEY)).random()
    random_state().random()
    torch.rand(1, generator=torch_generator(7))
    seed_sequence(*KEY).spawn(2)
    assert global_states() == before


def test_torch_generator_starts_from_its_seed() -> None:
    draws = [torch.rand(3, generator=torch_generator(seed)).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_random_state_of_an_integer_repeats() -> None:
    draws = [random_state(seed).random(3).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_random_state_passes_a_generator_through() -> None:
    state = np.random.RandomState(0)
    assert random_state(state) is state


def test_random_state_of_none_does_not_follow_the_global_seed() -> None:
    def draw() -> float:
        with isolated_generators(3):
            return random_state(None).random()

    assert draw() != draw()


DRAWS = {
    "numpy": lambda: np.random.random(),  # noqa: NPY002
    "torch": lambda: torch.rand(1).item(),
    "python": random.random,
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_isolated_code_is_reproducible(draw) -> None:
    def draw_isolated(seed: int) -> float:
        with isolated_generators(seed):
            return draw()

    assert draw_isolated(5) == draw_isolated(5)
    assert draw_isolated(5) != draw_isolated(6)


def test_isolation_restores_the_global_states() -> None:
    before = global_states()
    with isolated_generators(5):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.rand(1)
        np.random.random()  # noqa: NPY002
        assert global_states() != before
    assert global_states() == before


def test_isolation_restores_pythons_generator() -> None:
    before = random.getstate()
    with isolated_generators(5):
        random.seed(0)
    after = random.getstate()
    random.setstate(before)
    assert after == before


def test_isolation_restores_the_global_states_after_an_error() -> None:
    def fail() -> None:
        np.random.random()  # noqa: NPY002
        torch.rand(1)
        raise ZeroDivisionError

    before = global_states()
    with pytest.raises(ZeroDivisionError), isolated_generators(5):
        fail()
    assert global_states() == before


def test_isolated_contexts_nest() -> None:
    with isolated_generators(1):
        expected = np.random.random(), np.random.random()  # noqa: NPY002
    with isolated_generators(1):
        first = np.random.random()  # noqa: NPY002
        with isolated_generators(2):
            np.random.random()  # noqa: NPY002
        assert (first, np.random.random()) == expected  # noqa: NPY002
