"""Variants of a problem that are valued beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from small_problems import a_problem
from text_problems import a_text_problem

from dvbench.errors import UserError
from dvbench.problems.problem import Split
from dvbench.problems.variants import (
    FAMILIES,
    NO_RATE,
    VARIANTS,
    array_length,
    needed,
    planted,
    provider,
    single_points,
)
from dvbench.results import ArrayName
from dvbench.settings import Training


def providers(n=40, count=8, seed=0):
    problem = a_problem(n, seed=seed)
    return replace(problem, groups=np.arange(n) % count, corrupted=np.arange(count) < 2)


def changed(name, problem):
    before = [part.clone() for split in (problem.train, problem.validation) for part in (split.x, split.y)]
    variant = VARIANTS[name].change(problem)
    after = [part for split in (problem.train, problem.validation) for part in (split.x, split.y)]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True)), "the problem itself was changed"
    assert variant.players == array_length(name, problem.players)
    assert len(variant.train) == len(variant.rows)
    assert torch.equal(variant.test.x, problem.test.x)
    assert torch.equal(variant.test.y, problem.test.y)
    return variant


def rows(split):
    return [tuple(torch.cat([x, y]).tolist()) for x, y in zip(split.x, split.y, strict=True)]


def test_every_variant_has_an_array_and_every_other_array_is_none():
    assert set(VARIANTS) == set(get_args(ArrayName)) - {"values", "standard_errors", "chosen", "weights"}
    assert array_length("values", 7) == 7


def test_a_copy_has_the_points_of_the_provider():
    problem = providers()
    number, variant = provider(problem), changed("copied", problem)
    of_provider = rows(Split(problem.train.x[problem.groups == number], problem.train.y[problem.groups == number]))
    copy = variant.groups == problem.players
    assert rows(Split(variant.train.x[copy], variant.train.y[copy])) == of_provider
    assert rows(variant.train)[: len(problem.train)] == rows(problem.train)
    assert variant.corrupted[-1] == problem.corrupted[number]


def test_a_split_moves_half_of_the_provider_to_a_new_player():
    problem = providers()
    number, variant = provider(problem), changed("split", problem)
    moved = variant.groups == problem.players
    assert moved.sum() == (problem.groups == number).sum() // 2
    assert (problem.groups[moved] == number).all()
    assert np.array_equal(variant.groups[~moved], problem.groups[~moved])
    assert rows(variant.train) == rows(problem.train)


def test_the_provider_depends_on_the_seed():
    assert len({provider(providers(seed=seed)) for seed in range(20)}) > 3


@pytest.mark.parametrize("name", ["copied", "split"])
def test_points_are_no_providers(name):
    with pytest.raises(UserError, match="give the problem groups"):
        VARIANTS[name].change(a_problem())


def test_a_provider_of_one_point_cannot_split():
    with pytest.raises(UserError, match="one point"):
        VARIANTS["split"].change(providers(n=8))


@pytest.mark.parametrize("problem", [a_problem(50), providers(50, 10)], ids=["points", "groups"])
def test_only_planted_players_and_the_validation_set_have_the_shortcut(problem):
    variant, mask = changed("shortcut", problem), planted(problem)
    assert mask.sum() == round(0.2 * problem.players)
    points = mask if problem.groups is None else mask[problem.groups]
    for split, has in ((variant.train, points), (variant.validation, np.ones(50, dtype=bool))):
        assert torch.equal(split.x[has][:, :2] > 0, split.y[has] > 0)
        assert not split.x[~has][:, :2].any()
    assert torch.equal(variant.train.y[~points], problem.train.y[~points])
    assert torch.equal(variant.train.y[points].sum(dim=0), problem.train.y[points].sum(dim=0))
    assert torch.equal(variant.validation.y.sum(dim=0), problem.validation.y.sum(dim=0))
    assert not torch.equal(variant.validation.y, problem.validation.y)


@pytest.mark.parametrize("problem", [a_problem(), a_text_problem(test=30, answers=True)], ids=["points", "texts"])
def test_single_points_are_points_of_the_validation_set(problem):
    chosen = single_points(problem)
    assert (np.diff(chosen) > 0).all()
    for number, name in enumerate(FAMILIES["points"]):
        assert rows(changed(name, problem).validation) == [rows(problem.validation)[chosen[number]]]
    assert not np.array_equal(single_points(replace(problem, seed=1)), chosen)


def test_single_points_need_as_many_points_and_of_texts_those_with_tokens_that_count():
    problem = a_text_problem(test=30, answers=True)
    split = problem.validation
    late = torch.where(torch.arange(30)[:, None] % 3 == 0, 8.0, split.y)  # a text has eight tokens at most
    texts = replace(problem, validation=Split(split.x, late))
    assert {int(point) for point in single_points(texts)} == set(range(30)) - set(range(0, 30, 3))
    few = replace(problem, validation=Split(split.x[:29], late[:29]))
    with pytest.raises(UserError, match="it has 19: make it larger"):
        single_points(few)


def test_a_shortcut_needs_classes_and_a_feature_for_each():
    with pytest.raises(UserError, match="for classes only"):
        VARIANTS["shortcut"].change(a_problem(kind="regression"))
    problem = a_problem()
    narrow = replace(problem, train=Split(problem.train.x[:, :1], problem.train.y))
    with pytest.raises(UserError, match="as many features"):
        VARIANTS["shortcut"].change(narrow)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_null_labels_are_two_permutations_of_the_labels(kind):
    problem = a_problem(50, kind=kind)
    null, other = changed("null", problem), changed("other_null", problem)
    for part in ("train", "validation"):
        before, first, second = (getattr(each, part) for each in (problem, null, other))
        assert torch.equal(first.x, before.x)
        for y in (first.y, second.y):
            assert torch.equal(y.sort(dim=0).values, before.y.sort(dim=0).values)
        assert not torch.equal(first.y, before.y)
        assert not torch.equal(first.y, second.y)


def test_a_model_is_not_trained_in_one_variant_only():
    training = Training(lr=0.1)
    assert {name for name in VARIANTS if VARIANTS[name].training(training).lr != 0.1} == {"untrained"}
    assert VARIANTS["untrained"].training(training).lr == NO_RATE


def test_what_tasks_need():
    assert needed({"version": 1}) == []
    assert needed({"repeats": True, "variants": ("copied", "null")}) == ["repeat", "copied", "null"]
    assert needed({"variants": ("points",)}) == [f"point_{number}" for number in range(20)]
    with pytest.raises(UserError, match="named 'coppied': did you mean 'copied'"):
        needed({"variants": ("coppied",)})
