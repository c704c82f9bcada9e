"""Problems of texts: their three sets, what evaluators are given, and settings that are refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_corpora import N_QUESTIONS

from dvbench.errors import UserError
from dvbench.execution.suite_checks import check_suite
from dvbench.problems.build import build_problem, load_source
from dvbench.problems.perplexity import negative_perplexity
from dvbench.problems.source import Source
from dvbench.problems.splits import rows_of_corpora
from dvbench.settings import Groups, Noise, Sizes
from dvbench.suite import Suite

NAMES = ["TinyStories", "c4", "fineweb", "fineweb-edu", "wikitext"]
ANSWERS = "tiny_text?counted=answers"
SIZES = Sizes(train=60, validation=30, test=50)
CLEAN = Noise()
BY_CORPORA = Groups(by="corpora")


def test_a_problem_of_corpora(text_mirror: Path) -> None:
    problem = build_problem("tiny_text", SIZES, CLEAN, 3, BY_CORPORA)
    source = load_source("tiny_text")
    assert (problem.kind, problem.players, problem.shape) == ("language", 5, (64,))
    assert problem.outputs == problem.vocabulary == 2048
    assert problem.metric is negative_perplexity
    assert problem.classes == ()
    for part, size in ((problem.train, 60), (problem.validation, 30), (problem.test, 50)):
        assert (part.x.dtype, tuple(part.x.shape)) == (torch.uint16, (size, 64))
        assert (part.y.dtype, tuple(part.y.shape)) == (torch.float32, (size, 1))
        assert (part.y == 1).all()
    np.testing.assert_array_equal(problem.train.x.numpy(), source.take(problem.rows))
    assert problem.groups is not None
    assert source.groups is not None
    assert np.bincount(problem.groups).tolist() == [12] * 5
    assert [NAMES[player] for player in problem.groups] == source.groups[problem.rows].tolist()
    assert not problem.corrupted.any()


def test_parts_are_disjoint_and_drawn_by_the_seed(text_mirror: Path) -> None:
    one, same, other = (build_problem("tiny_text", SIZES, CLEAN, seed) for seed in (0, 0, 1))
    assert len(set(one.rows)) == 60
    assert one.rows.max() < 750
    questions = [row.numpy().tobytes() for row in [*one.validation.x, *one.test.x]]
    assert len(set(questions)) == 80
    assert one.revision == same.revision != other.revision
    assert torch.equal(one.test.x, same.test.x)
    assert set(one.rows) != set(other.rows)
    assert one.players == 60  # without groups texts are players


def test_the_loss_of_answers_starts_after_the_question(text_mirror: Path) -> None:
    problem = build_problem(ANSWERS, SIZES, CLEAN, 0)
    assert (problem.train.y == 1).all()
    assert problem.test.y.min() > 1
    assert problem.validation.y.min() > 1


def test_revision_is_the_documented_hash(text_mirror: Path) -> None:
    problem, source = build_problem(ANSWERS, SIZES, CLEAN, 0), load_source(ANSWERS)
    everything = {row.tobytes(): k for k, row in enumerate(source.take(np.arange(len(source.labels))))}
    digest = hashlib.sha256()
    for part in (problem.train, problem.validation, problem.test):
        rows = problem.rows
        if part is not problem.train:
            rows = np.array([everything[row.numpy().tobytes()] for row in part.x])
        digest.update(part.x.numpy().astype("<u2").tobytes())
        digest.update(part.y.numpy()[:, 0].astype("<i8").tobytes() + rows.astype("<i8").tobytes())
    assert problem.revision == digest.hexdigest()


def test_fetchers_hold_copies_of_tokens(text_mirror: Path) -> None:
    problem = build_problem("tiny_text", SIZES, CLEAN, 0, BY_CORPORA)
    before = problem.train.x.clone(), problem.validation.x.clone()
    x_train, y_train, x_valid, y_valid, x_test, _ = problem.fetcher().datapoints
    for x, part in ((x_train, problem.train), (x_valid, problem.validation), (x_test, problem.validation)):
        assert x.dtype == torch.uint16
        assert torch.equal(x, part.x)
    assert y_train.dtype == y_valid.dtype == torch.float32
    assert tuple(y_train.shape) == (60, 1)
    for x in (x_train, x_valid, x_test):
        x.fill_(7)
    assert torch.equal(problem.train.x, before[0])
    assert torch.equal(problem.validation.x, before[1])


def test_corpora_as_items(text_mirror: Path) -> None:
    problem = build_problem("tiny_text", SIZES, CLEAN, 0, BY_CORPORA)
    x, y, *_ = problem.subset_fetcher().datapoints
    assert len(x) == len(y) == 5
    for player in range(5):
        assert x[player].dtype == torch.uint16
        assert torch.equal(x[player], problem.train.x[torch.from_numpy(problem.groups == player)])


def test_random_subsets_of_texts(text_mirror: Path) -> None:
    problem = build_problem("tiny_text", SIZES, CLEAN, 0, Groups(by="random", count=6))
    assert np.bincount(problem.groups).tolist() == [10] * 6


def test_a_problem_shares_no_memory_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.arange(40, dtype=np.uint16).reshape(10, 4)
    groups, test_rows = np.array(["b", "a"] * 3 + ["q"] * 4), np.arange(6, 10)
    monkeypatch.setattr(
        "dvbench.problems.build.load_source",
        lambda *_: Source(
            "language", np.ones(10, dtype=np.int64), take, (), False, test_rows, groups, vocabulary=limit
        ),
    )
    limit = 40

    def take(rows: np.ndarray) -> np.ndarray:
        return tokens[: len(rows)]  # a view

    problem = build_problem("digits", Sizes(train=2, validation=2, test=2), CLEAN, 0, BY_CORPORA)
    problem.train.x.fill_(0)
    assert tokens[0].tolist() == [0, 1, 2, 3]
    assert problem.validation.x.tolist() == tokens[:2].tolist()
    limit = 7
    with pytest.raises(UserError, match="'digits' has tokens that are not in its vocabulary of 7"):
        build_problem("digits", Sizes(train=2, validation=2, test=2), CLEAN, 0, BY_CORPORA)
    tokens = tokens.astype(np.int64)
    with pytest.raises(UserError, match=r"'digits' must return tokens as uint16 of shape \(texts, length\)"):
        build_problem("digits", Sizes(train=2, validation=2, test=2), CLEAN, 0, BY_CORPORA)


def test_rows_of_a_corpus_need_not_be_adjacent() -> None:
    groups, test_rows = np.array(["b", "a", "q", "b", "a", "a"]), np.array([2, 5])
    source = Source("language", np.ones(6, dtype=np.int64), lambda rows: rows, (), False, test_rows, groups, 9)
    rows_by_name = {name: rows.tolist() for name, rows in rows_of_corpora(source).items()}
    assert list(rows_by_name.items()) == [("a", [1, 4]), ("b", [0, 3])]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((61, 30, 50), "61 training texts cannot be divided equally among 5 corpora: ask for 60"),
        ((64, 30, 50), "64 training texts cannot be divided equally among 5 corpora: ask for 60"),
        ((3, 30, 50), "3 training texts cannot be divided equally among 5 corpora: ask for 5"),
        (
            (755, 30, 50),
            "corpus 'TinyStories' has 150 texts, but 755 training texts of 5 corpora need 151 of each: ask for 750 at "
            "most",
        ),
        (
            (60, 100, 50),
            f"there are {N_QUESTIONS} test texts, fewer than 150 (100 for validation, 50 for testing): ask for fewer",
        ),
    ],
)
def test_sizes_that_do_not_fit_the_corpora(text_mirror: Path, sizes: tuple[int, int, int], message: str) -> None:
    wanted = Sizes(train=sizes[0], validation=sizes[1], test=sizes[2])
    with pytest.raises(UserError) as caught:
        build_problem("tiny_text", wanted, CLEAN, 0, BY_CORPORA)
    assert str(caught.value) == message
    with pytest.raises(UserError) as caught:
        check_suite(suite(sizes=wanted))
    assert str(caught.value).startswith("suite 'made-up': tiny_text")
    assert str(caught.value).endswith(message)


def test_all_texts_can_be_used(text_mirror: Path) -> None:
    problem = build_problem("tiny_text", Sizes(train=750, validation=22, test=100), CLEAN, 0, BY_CORPORA)
    assert sorted(problem.rows) == list(range(750))


def suite(dataset: str = "tiny_text", **problem: Any) -> Suite:
    model = "gpt2_tiny" if dataset == "tiny_text" else "mlp"
    settings = {"dataset": dataset, "sizes": SIZES, "model": {"name": model}, "groups": BY_CORPORA, **problem}
    settings["tasks"] = ["exact_agreement"]
    plain = {key: value.model_dump() if hasattr(value, "model_dump") else value for key, value in settings.items()}
    return Suite.model_validate(
        {
            "name": "made-up",
            "version": 1,
            "description": "Made up.",
            "problems": [plain],
            "evaluators": [{"name": "random"}],
            "seeds": [0],
        }
    )


@pytest.mark.parametrize(
    ("dataset", "noise", "groups", "message"),
    [
        ("tiny_text", Noise(kind="labels", rate=0.2), None, "holds texts, into which no noise is injected"),
        ("tiny_text", Noise(kind="features", rate=0.2), None, "holds texts, into which no noise is injected"),
        ("tiny_text", CLEAN, Groups(by="classes"), "tiny_text holds texts, which have no classes: group by 'corpora'"),
        ("digits", CLEAN, BY_CORPORA, "digits has no corpora of texts: group by 'random'"),
        ("diabetes", CLEAN, BY_CORPORA, "diabetes has no corpora of texts: group by 'random'"),
    ],
)
def test_noise_and_groups_that_do_not_fit_the_kind(
    text_mirror: Path, dataset: str, noise: Noise, groups: Groups | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_problem(dataset, SIZES, noise, 0, groups)
    with pytest.raises(UserError, match=message):
        check_suite(suite(dataset, noise=noise, groups=groups))


def test_corpora_are_counted_before_anything_runs(text_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr("dvbench.scoring.contract.check_players", lambda players, *_: counted.append(players))
    check_suite(suite())
    assert counted == [5]


@pytest.mark.parametrize("more", [{"count": 3}, {"column": "text"}])
def test_groups_by_corpora_have_neither_count_nor_column(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="need"):
        Groups(by="corpora", **more)
    assert str(BY_CORPORA) == "corpora"
