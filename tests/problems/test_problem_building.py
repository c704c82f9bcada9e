from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from dvbench.errors import UserError
from dvbench.problems.build import build_problem, load_source
from dvbench.problems.problem import Problem
from dvbench.problems.source import Source
from dvbench.settings import Noise, Sizes

SIZES = Sizes(train=100, validation=40, test=60)
FLIPS = Noise(kind="labels", rate=0.2)
BLUR = Noise(kind="features", rate=0.2, sigma=2.0)
CLEAN = Noise()


def tensors(problem: Problem) -> dict[str, torch.Tensor]:
    parts = {"train": problem.train, "validation": problem.validation, "test": problem.test}
    return {f"{name}.{side}": getattr(part, side) for name, part in parts.items() for side in "xy"}


def fingerprint(problem: Problem) -> str:
    digest = hashlib.sha256(problem.revision.encode())
    for array in (*[t.numpy() for t in tensors(problem).values()], problem.rows, problem.corrupted):
        digest.update(array.tobytes())
    return digest.hexdigest()


def test_parts_are_disjoint_and_stratified(table: Callable, rows_of: Callable) -> None:
    rows = rows_of(problem := build_problem(table(), SIZES, CLEAN, 0))
    np.testing.assert_array_equal(rows["train"], problem.rows)
    assert Counter(np.concatenate([*rows.values()])) == Counter(range(200))
    for part, wanted in ((problem.train, [60, 30, 10]), (problem.validation, [24, 12, 4]), (problem.test, [36, 18, 6])):
        assert part.y.sum(dim=0).tolist() == wanted
    assert problem.classes == ("a", "b", "c")


def test_tensors_are_float32_and_each_has_memory_of_its_own() -> None:
    actual = tensors(build_problem("digits", SIZES, CLEAN, 0))
    assert {t.dtype for t in actual.values()} == {torch.float32}
    assert len({t.untyped_storage().data_ptr() for t in actual.values()}) == 6
    assert all(t.untyped_storage().nbytes() == t.numel() * 4 for t in actual.values())


def test_columns_are_standardised_with_the_training_set(table: Callable, rows_of: Callable) -> None:
    problem = build_problem(dataset := table(), SIZES, CLEAN, 0)
    source = load_source(dataset)
    train = source.take(problem.rows)
    for name, part in (("train", problem.train), ("validation", problem.validation), ("test", problem.test)):
        expected = (source.take(rows_of(problem)[name]) - train.mean(axis=0)) / train.std(axis=0)
        np.testing.assert_allclose(part.x, expected, atol=1e-5)


def test_targets_are_standardised_with_the_training_set(table: Callable, rows_of: Callable) -> None:
    problem = build_problem(table(targets=True), SIZES, CLEAN, 0)
    rows = rows_of(problem)
    train = np.sin(rows["train"])
    assert problem.kind == "regression"
    assert problem.classes == ()
    np.testing.assert_allclose(problem.test.y[:, 0], (np.sin(rows["test"]) - train.mean()) / train.std(), atol=1e-5)


def test_a_column_that_is_constant_in_the_training_set_is_only_centred(stranger: Callable) -> None:
    features = np.full((30, 2), 0.1)
    features[:, 1] = np.arange(30)
    features[20:, 0] = 0.6
    name = stranger(features, np.arange(30) % 2, test_rows=np.arange(20, 30))
    problem = build_problem(name, Sizes(train=10, validation=10, test=10), CLEAN, 0)
    np.testing.assert_allclose(problem.train.x[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(problem.test.x[:, 0], 0.5, atol=1e-6)


@pytest.mark.parametrize("noise", [FLIPS, BLUR])
def test_noise_touches_the_training_set_alone(noise: Noise) -> None:
    clean, noisy = tensors(build_problem("digits", SIZES, CLEAN, 3)), build_problem("digits", SIZES, noise, 3)
    assert noisy.corrupted.sum() == 20
    touched, spared = ("train.y", "train.x") if noise is FLIPS else ("train.x", "train.y")
    for name, tensor in tensors(noisy).items():
        if name == touched:
            np.testing.assert_array_equal((tensor != clean[name]).any(dim=1), noisy.corrupted)
        else:
            assert torch.equal(tensor, clean[name]), name
    assert torch.equal(tensors(noisy)[spared], clean[spared])


def test_noise_changes_neither_rows_nor_revision(table: Callable) -> None:
    problems = [
        build_problem(table(), SIZES, noise, 1) for noise in (CLEAN, FLIPS, BLUR, Noise(kind="labels", rate=0.5))
    ]
    assert len({problem.revision for problem in problems}) == 1
    for problem in problems:
        np.testing.assert_array_equal(problem.rows, problems[0].rows)
    assert [problem.corrupted.sum() for problem in problems] == [0, 20, 20, 50]


def test_feature_noise_counts_in_deviations_of_the_training_set(stranger: Callable) -> None:
    images = np.random.default_rng(0).normal(0.5, 0.1, size=(400, 1, 10, 10)).astype(np.float32)
    name = stranger(images, np.arange(400) % 2, standardise=False)
    sizes = Sizes(train=200, validation=100, test=100)
    clean, noisy = build_problem(name, sizes, CLEAN, 0), build_problem(name, sizes, BLUR, 0)
    added = (noisy.train.x - clean.train.x)[torch.from_numpy(noisy.corrupted)]
    assert added.std().item() == pytest.approx(0.2, rel=0.05)
    np.testing.assert_array_equal(clean.train.x, images[clean.rows])


def test_nothing_of_the_source_is_changed(stranger: Callable) -> None:
    features = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    labels = np.arange(60) % 2
    features.setflags(write=False)
    labels.setflags(write=False)
    before = features.copy(), labels.copy()
    for standardise in (True, False):
        name = stranger(features, labels, take=lambda rows: features[: len(rows)], standardise=standardise)
        for noise in (FLIPS, BLUR):
            problem = build_problem(name, Sizes(train=30, validation=10, test=10), noise, 0)
            problem.train.x.zero_()
    np.testing.assert_array_equal(features, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_label_noise_on_a_regression_is_refused() -> None:
    with pytest.raises(UserError, match=r"'diabetes' is a regression.*use feature noise"):
        build_problem("diabetes", SIZES, FLIPS, 0)


def test_feature_noise_on_a_regression() -> None:
    assert build_problem("diabetes", SIZES, BLUR, 0).corrupted.sum() == 20


@pytest.mark.parametrize(("name", "parts"), [("wine", (71, 36, 71)), ("diabetes", (177, 88, 177))])
def test_small_data_sets_shrink(name: str, parts: tuple[int, int, int]) -> None:
    problem = build_problem(name, Sizes(train=1000, validation=500, test=1000), CLEAN, 0)
    assert (len(problem.train), len(problem.validation), len(problem.test)) == parts


def test_global_seeds_neither_matter_nor_change() -> None:
    seen = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        seen.append(fingerprint(build_problem("wine", SIZES, FLIPS, 0)))
        after = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        assert before[0] == after[0]
        np.testing.assert_array_equal(before[1][1], after[1][1])
        assert before[1][2:] == after[1][2:]
        assert torch.equal(before[2], after[2])
    assert seen[0] == seen[1]


@pytest.mark.slow
def test_another_process_builds_the_same_problem_to_the_bit() -> None:
    expected = [fingerprint(build_problem("digits", SIZES, noise, 0)) for noise in (FLIPS, BLUR)]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_problem_building import *\n"
        "for noise in (FLIPS, BLUR): print(fingerprint(build_problem('digits', SIZES, noise, 0)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],  # noqa: PTH120
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == expected


def test_other_seeds_and_data_sets_differ(table: Callable) -> None:
    problems = [build_problem(table(), SIZES, FLIPS, seed) for seed in range(3)]
    assert len({problem.rows.tobytes() for problem in problems}) == 3
    assert len({problem.corrupted.tobytes() for problem in problems}) == 3
    assert len({problem.revision for problem in problems}) == 3
    other = build_problem(table(name="other.csv"), SIZES, FLIPS, 0)
    assert other.rows.tobytes() != problems[0].rows.tobytes()


def test_a_table_is_the_same_data_set_wherever_it_lies(table: Callable) -> None:
    here = build_problem(table(), SIZES, FLIPS, 0)
    there = build_problem(table(name="elsewhere/table.csv") + "?label=label", SIZES, FLIPS, 0)
    assert fingerprint(here) == fingerprint(there)


def test_a_registered_name_may_be_spelled_freely() -> None:
    one, other = (build_problem(name, SIZES, FLIPS, 0) for name in ("breast_cancer", "Breast-Cancer"))
    assert fingerprint(one) == fingerprint(other)


def test_revision_is_the_documented_hash() -> None:
    problem = build_problem("wine", Sizes(train=80, validation=40, test=58), FLIPS, 0)
    source = load_source("wine")
    rows = problem.rows
    digest = hashlib.sha256(source.take(rows).astype("<f8").tobytes())
    digest.update(source.labels[rows].astype("<i8").tobytes() + rows.astype("<i8").tobytes())
    for part in (problem.validation, problem.test):  # every row of wine is different, so features tell them
        everything = (source.take(np.arange(178)) - source.take(rows).mean(axis=0)) / source.take(rows).std(axis=0)
        actual = np.array([np.abs(everything - point.numpy()).sum(axis=1).argmin() for point in part.x])
        digest.update(source.take(actual).astype("<f8").tobytes())
        digest.update(source.labels[actual].astype("<i8").tobytes() + actual.astype("<i8").tobytes())
    assert problem.revision == digest.hexdigest()


def test_revision_changes_with_the_rows_in_use_and_only_with_them(table: Callable, rows_of: Callable) -> None:
    sizes = Sizes(train=20, validation=10, test=10)
    original = build_problem(table(), sizes, CLEAN, 0)
    for rows in rows_of(original).values():
        assert build_problem(table(changed=rows[0]), sizes, CLEAN, 0).revision != original.revision
    unused = min(set(range(200)) - set(np.concatenate([*rows_of(original).values()])))
    assert build_problem(table(changed=unused), sizes, CLEAN, 0).revision == original.revision


def buffers(thing: Any, seen: set[int]) -> Iterator[bytes]:
    """All memory that can be reached from an object by attributes, items, bases of arrays and storages of tensors."""
    if id(thing) in seen or isinstance(thing, type | ModuleType | str | int | float | None):
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing.tobytes()
        yield from buffers(thing.base, seen)
    elif isinstance(thing, torch.Tensor):
        yield bytes(thing.untyped_storage())
        yield from buffers(thing._base, seen)
    elif isinstance(thing, dict):
        for item in thing.values():
            yield from buffers(item, seen)
    elif isinstance(thing, list | tuple | set):
        for item in thing:
            yield from buffers(item, seen)
    for item in vars(thing).values() if hasattr(thing, "__dict__") else ():
        yield from buffers(item, seen)


def test_the_hidden_test_set_cannot_be_reached_from_what_evaluators_get() -> None:
    problem = build_problem("breast_cancer", SIZES, BLUR, 0)
    fetcher = problem.fetcher()
    memory = b"".join([*buffers(fetcher, set()), *buffers(fetcher.datapoints, set())])
    for shown in (*problem.train.x, *problem.validation.x):
        assert shown.numpy().tobytes() in memory  # the search would find what is there
    for hidden in problem.test.x:
        assert hidden.numpy().tobytes() not in memory
        assert hidden.double().numpy().tobytes() not in memory


def test_what_evaluators_do_to_their_data_does_not_reach_the_problem() -> None:
    problem = build_problem("wine", SIZES, FLIPS, 0)
    before = fingerprint(problem)
    fetcher = problem.fetcher()
    for name in ("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test"):
        getattr(fetcher, name)[:] = -1
    for pair in fetcher.datapoints:
        for tensor in pair:
            tensor.fill_(-1)
    assert fingerprint(problem) == before
    assert problem.fetcher().x_train.min() != -1


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Put a data set into a module of its own; gives its name."""

    def add(features: np.ndarray, labels: np.ndarray, **options: Any) -> str:
        take = options.pop("take", lambda rows: features[rows])
        module = ModuleType("stranger")
        module.data = lambda: Source("classification", labels, take, ("no", "yes"), **options)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "stranger", module)
        return "stranger:data"

    return add


def test_a_function_that_returns_no_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("stranger")
    module.data = lambda: 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stranger", module)
    with pytest.raises(UserError, match="'stranger:data' must be a function that returns"):
        build_problem("stranger:data", SIZES, CLEAN, 0)


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
@pytest.mark.filterwarnings("error")
def test_features_that_do_not_fit_float32_are_refused(stranger: Callable, bad: float, standardise: bool) -> None:
    features = np.ones((40, 1))
    features[3] = bad
    with pytest.raises(UserError, match="'stranger:data' has features or targets that are missing or too large"):
        build_problem(stranger(features, np.arange(40) % 2, standardise=standardise), SIZES, CLEAN, 0)


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no data set is named 'diggits': did you mean 'digits'"):
        build_problem("diggits", SIZES, CLEAN, 0)


def test_a_parameter_that_equals_its_default_changes_no_split(text_mirror: Path) -> None:
    plain, explicit, other = (
        build_problem(dataset, Sizes(train=10, validation=6, test=6), CLEAN, 0)
        for dataset in ("tiny_text", "tiny_text?counted=texts", "tiny_text?counted=answers")
    )
    np.testing.assert_array_equal(plain.rows, explicit.rows)
    assert (plain.dataset, explicit.dataset, other.dataset) == ("tiny_text", "tiny_text", "tiny_text_answers")
    assert not np.array_equal(plain.rows, other.rows)
