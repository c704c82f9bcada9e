"""A choice is completed, checked and recorded; what cannot be chosen is said in a line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from made_up_points import some_points

from dvbench.errors import UserError
from dvbench.selecting.choosing import choose, class_budgets
from dvbench.selecting.contract import SelectionStrategy
from dvbench.selecting.factory import budget_of, check_classes, check_protocol, make_strategy
from dvbench.selecting.record import how_often, packed, unpacked
from dvbench.settings import SelectionSettings
from dvbench.training.selective import Chosen


@dataclass(frozen=True)
class Fixed(SelectionStrategy):
    """Returns what it is told."""

    answer: object = None

    def choose(self, points, budget, rng):
        return self.answer


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_what_is_missing_is_drawn_at_random_with_weight_1() -> None:
    chosen = choose(Fixed(answer=(np.array([5, 2]), np.array([0.5, 2.0]))), some_points(9), 4, rng())
    assert len(chosen.indices) == 4
    weights = dict(zip(chosen.indices.tolist(), chosen.weights.tolist(), strict=True))
    assert (weights.pop(5), weights.pop(2)) == (0.5, 2.0)
    assert list(weights.values()) == [1, 1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((np.array([1, 1]), None), "at most 3 points, each once"),
        ((np.arange(4), None), "at most 3 points, each once; it returned 4"),
        ((np.array([9]), None), "row numbers from 0 to 8"),
        ((np.array([-1]), None), "row numbers from 0 to 8"),
        ((np.array([0.5]), None), "row numbers from 0 to 8"),
        ((np.array([1]), np.array([np.nan])), "one weight, from 0 to 65504"),
        ((np.array([1]), np.array([-1.0])), "one weight, from 0 to 65504"),
        ((np.array([1]), np.array([1.0, 2.0])), "one weight, from 0 to 65504"),
    ],
)
def test_a_strategy_that_breaks_the_contract_is_told_so(answer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(Fixed(answer=answer), some_points(9), 3, rng())


@pytest.mark.parametrize(
    ("counts", "budget", "expected"),
    [([50, 30, 20], 10, [5, 3, 2]), ([98, 1, 1], 10, [8, 1, 1]), ([5, 5], 10, [5, 5]), ([7, 2, 2], 3, [1, 1, 1])],
)
def test_budgets_of_classes(counts: list[int], budget: int, expected: list[int]) -> None:
    assert class_budgets(np.array(counts), budget).tolist() == expected


def test_fractions_round_down_but_not_by_rounding_errors() -> None:
    assert [budget_of(f, 100) for f in (0.29, 0.57, 0.05, 0.999, 1.0)] == [29, 57, 5, 99, 100]


NAMES = ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("train", "validation", "fraction", "message"),
    [
        ([1] * 9, [1], 0.5, "all 9 rows have the class 'dog': a choice needs at least two classes"),
        ([0, 1, 2] * 10, [0], 0.05, "fraction 0.05 keeps 1 of 30 rows and so leaves some of the 3 classes empty"),
        ([0, 1] * 10, [0, 2], 0.5, "the validation set has points of class 'owl', of which there are none to train on"),
    ],
)
def test_what_cannot_be_chosen_from(train, validation, fraction: float, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_classes(np.array(train), np.array(validation), NAMES, fraction)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_fraction_that_is_asked_for_instead_suffices() -> None:
    labels = np.arange(37) % 3
    with pytest.raises(UserError, match=r"keep at least (0\.\d+)$") as error:
        check_classes(labels, None, NAMES, 0.01)
    check_classes(labels, None, NAMES, float(str(error.value).rpartition(" ")[2]))


def test_a_strategy_that_never_chooses_is_refused() -> None:
    with pytest.raises(UserError, match="el2n first chooses after 20 epochs, and training has 10"):
        check_protocol(make_strategy("el2n"), SelectionSettings(fractions=(0.5,), every=20, epochs=10), "el2n")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("chg_shaply", {}, "no selection strategy is named 'chg_shaply': did you mean 'chg_shapley'?"),
        ("chg_shapley", {"weight": "one"}, "no parameter of chg_shapley is named 'weight': did you mean 'weights'?"),
        ("chg_shapley", {"weights": "all"}, "cannot make selection strategy chg_shapley: weights is 'one' or"),
        ("glister", {"layer": "last"}, "cannot make selection strategy glister: layer is 'full' or 'bias', not 'last'"),
        ("glister", {"epsilon": 0}, "cannot make selection strategy glister: epsilon is above 0 and below 1"),
        ("random", {"per_class": 1}, "cannot make selection strategy random: per_class is true or false, not 1"),
    ],
)
def test_wrong_settings(name: str, params: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        make_strategy(name, **params)
    assert str(error.value).startswith(message)


def made(n: int, how: SelectionSettings, weighted: bool, selections: int) -> list[list[Chosen]]:
    draw = np.random.default_rng(4)
    return [
        [
            Chosen(
                np.sort(draw.permutation(n)[: budget_of(fraction, n)]),
                draw.random(budget_of(fraction, n)).astype(np.float16) if weighted else np.ones(budget_of(fraction, n)),
            )
            for _ in range(selections)
        ]
        for fraction in how.fractions
    ]


HOW = SelectionSettings(fractions=(0.3, 0.6), every=2, epochs=5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("selections", [1, 3])
def test_a_record_is_read_as_it_was_written(weighted: bool, selections: int) -> None:
    choices = made(21, HOW, weighted, selections)
    arrays = packed(choices, 21)
    assert set(arrays) == {"chosen", "weights"} if weighted else {"chosen"}
    assert len(arrays["chosen"]) == 2 * selections * 3
    for before, after in zip(choices, unpacked(arrays, 21, HOW), strict=True):
        assert len(after) == selections
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one.indices, other.indices)
            np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_allclose(how_often(choices, 21).sum(), (6 + 12) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {}, "there is no record of what was chosen of 21 points for 2 fractions"),
        (lambda a: {"chosen": a["chosen"][:-1]}, "there is no record of what was chosen"),
        (lambda a: {"chosen": np.tile(a["chosen"], 2)}, "there is no record of what was chosen"),
        (lambda a: {"chosen": a["chosen"] | 255}, "21 of 21 points were chosen at fraction 0.3, which allows 6"),
        (lambda a: {"chosen": a["chosen"] * 0}, "0 of 21 points were chosen"),
        (lambda a: a | {"weights": np.ones(3, dtype=np.float32)}, "there are 3 weights for 18 chosen points"),
        (lambda a: a | {"weights": -np.ones(18, dtype=np.float32)}, "there are 18 weights for 18 chosen points"),
    ],
)
def test_records_of_others_are_checked(change, message: str) -> None:
    with pytest.raises(UserError) as error:
        unpacked(change(packed(made(21, HOW, False, 1), 21)), 21, HOW)
    assert str(error.value).startswith(message)


def test_a_model_is_looked_at_only_if_a_strategy_asks() -> None:
    from dvbench.selecting.contract import Points

    def never():
        raise AssertionError

    points = Points(torch.arange(12) % 3, never, HOW)
    for name in ("random", "adaptive_random"):
        assert len(choose(make_strategy(name), points, 5, rng()).indices) == 5
    with pytest.raises(AssertionError):
        choose(make_strategy("trac_in"), points, 5, rng())
