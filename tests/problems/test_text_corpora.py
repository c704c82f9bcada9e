"""Corpora of texts as data sets: what is drawn, what counts, what evaluators are given, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pytest
import torch
from made_up_corpora import LONG, N_QUESTIONS, QUESTIONS, VOCABULARY, write_rows

from dvbench.errors import UserError
from dvbench.execution.planning import check
from dvbench.problems.build import build_problem, load_source
from dvbench.problems.hub import mirrored_files, stream
from dvbench.problems.perplexity import PADDING, negative_perplexity
from dvbench.problems.source import Source
from dvbench.problems.splits import rows_of_corpora
from dvbench.problems.text_corpora import Corpus, read_texts, text_source
from dvbench.problems.tokenizer import load_vocabulary
from dvbench.settings import DatasetSettings, Groups, Noise, Sizes
from dvbench.suite import Suite

REAL = Path(os.environ.get("DVBENCH_MIRROR") or Path(__file__).parents[3] / "shared/data/hub")
needs_corpora = pytest.mark.skipif(
    not all((REAL / name).is_dir() for name in ("roneneldan/TinyStories", "allenai/c4", QUESTIONS)),
    reason="no mirror of the corpora: set DVBENCH_MIRROR to a folder that has them",
)
NAMES = ["TinyStories", "c4", "fineweb", "fineweb-edu", "wikitext"]
ANSWERS = "tiny_text?counted=answers"
SIZES = Sizes(train=60, validation=30, test=50)
CLEAN = Noise()
BY_CORPORA = Groups(by="corpora")
C4 = Corpus("allenai/c4", "en")
STORIES = Corpus("roneneldan/TinyStories")


@pytest.fixture
def mirror(made_up_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror of one's own, to be changed."""
    folder = tmp_path / "mirror"
    shutil.copytree(made_up_mirror, folder)
    monkeypatch.setenv("DVBENCH_MIRROR", str(folder))
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cut the network, and count attempts to use it."""
    attempts: list[str] = []

    def refuse(self: object, repo_id: str, **_: object) -> None:
        attempts.append(repo_id)
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    return attempts


def small(*corpora: Corpus, texts: int = 20, length: int = 16, **options: Any) -> Source:
    return text_source(corpora or (C4, STORIES), texts=texts, length=length, vocabulary=500, **options)


def told(vocabulary: int, rows: np.ndarray) -> list[str]:
    words = load_vocabulary(vocabulary)
    return [
        words.decode([token for token in row.tolist() if token not in (PADDING, words.begin_of_text)]) for row in rows
    ]


def texts_of(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    return datasets.Dataset.from_parquet(str(next(folder.glob(f"{split}-*"))), keep_in_memory=True).to_list()


# The source


def test_a_source_of_corpora(text_mirror: Path) -> None:
    source = load_source("tiny_text")
    assert (source.kind, source.vocabulary, source.standardise, source.classes) == ("language", 2048, False, ())
    assert source.labels.dtype == np.int64
    assert (source.labels == 1).all()
    assert source.groups is not None
    assert source.test_rows is not None
    assert (
        source.groups.tolist()
        == np.repeat(
            ["wikitext", "fineweb", "fineweb-edu", "c4", "TinyStories", "truthful_qa"], [150] * 5 + [N_QUESTIONS]
        ).tolist()
    )
    np.testing.assert_array_equal(source.test_rows, np.arange(750, 750 + N_QUESTIONS))
    rows = source.take(np.arange(len(source.labels)))
    assert (rows.dtype, rows.shape) == (np.uint16, (750 + N_QUESTIONS, 64))
    assert (rows[:, 0] == 2047).all()
    assert (rows[rows != PADDING] <= 2047).all()
    assert (rows[:, 1:] != 2047).all()
    padded = rows == PADDING
    assert (padded[:, 1:] >= padded[:, :-1]).all()  # nothing after padding


def test_texts_are_the_first_that_are_not_empty(text_mirror: Path) -> None:
    source = small(C4, texts=45, length=400)
    texts = [row["text"] for row in texts_of(text_mirror / "allenai/c4/sample")]
    wanted = [text for text in texts if text and text.strip()][:45]
    assert told(500, source.take(np.arange(45))) == wanted


def test_rows_are_taken_in_any_order(text_mirror: Path) -> None:
    source = small()
    everything = source.take(np.arange(len(source.labels)))
    rows = np.array([41, 3, 25, 0, 3, 39])
    np.testing.assert_array_equal(source.take(rows), everything[rows])
    assert source.take(rows[:0]).shape == (0, 16)


def test_questions_are_followed_by_answers(text_mirror: Path) -> None:
    source = small(length=600)
    asked = texts_of(text_mirror / QUESTIONS, "validation")
    assert told(500, source.take(source.test_rows)) == [f"{row['question']} {row['best_answer']}" for row in asked]
    assert (source.labels == 1).all()


def test_answers_alone_count(text_mirror: Path) -> None:
    source = small(length=600, counted="answers")
    assert source.test_rows is not None
    assert (source.labels[: source.test_rows[0]] == 1).all()
    rows, asked = source.take(source.test_rows), texts_of(text_mirror / QUESTIONS, "validation")
    answers = [
        told(500, row[begin:][np.newaxis])[0] for row, begin in zip(rows, source.labels[source.test_rows], strict=True)
    ]
    assert answers == [f" {row['best_answer']}" for row in asked]


def test_questions_without_room_for_an_answer_are_left_out(text_mirror: Path) -> None:
    whole, answers = load_source("tiny_text"), load_source(ANSWERS)
    assert whole.test_rows is not None
    assert answers.test_rows is not None
    assert (len(whole.test_rows), len(answers.test_rows)) == (N_QUESTIONS, N_QUESTIONS - LONG)
    begins = answers.labels[answers.test_rows]
    rows = answers.take(answers.test_rows)
    assert (rows[np.arange(len(rows)), begins] != PADDING).all()
    np.testing.assert_array_equal(rows, whole.take(whole.test_rows)[:-LONG])  # the long ones are the last
    with pytest.raises(
        UserError, match="no answer of truthful_qa begins within 4 tokens: keep more tokens of each text"
    ):
        small(length=4, counted="answers")


def test_all_of_the_vocabulary(text_mirror: Path) -> None:
    assert text_source([C4], texts=5, length=8).vocabulary == VOCABULARY


@pytest.mark.parametrize(
    ("name", "titles", "texts", "length", "vocabulary"),
    [
        ("tiny_text", ["wikitext", "fineweb", "fineweb-edu", "c4", "TinyStories"], 150, 64, 2048),
        ("wiki_web_stories", ["wikitext", "fineweb", "TinyStories"], 2300, 768, None),
        ("text_corpus", ["wikitext", "fineweb", "cosmopedia"], 1_000_000, 768, None),
    ],
)
@pytest.mark.parametrize("counted", ["texts", "answers"])
def test_what_comes_with_dvbench(
    name: str,
    titles: list[str],
    texts: int,
    length: int,
    vocabulary: int | None,
    counted: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []

    def note(corpora: tuple[Corpus, ...], **options: Any) -> Source:
        asked.append({"titles": [corpus.title for corpus in corpora], "vocabulary": None, **options})
        one = np.array([1])
        return Source("language", one, lambda rows: rows, (), False, one - 1, one.astype(str), vocabulary=1)

    monkeypatch.setattr(f"dvbench.datasets.{name}.text_source", note)
    load_source(DatasetSettings(name=name, params={"counted": counted}))
    wanted = {"titles": titles, "texts": texts, "length": length, "vocabulary": vocabulary, "counted": counted}
    assert asked == [wanted]


def test_corpora_need_different_names(text_mirror: Path) -> None:
    with pytest.raises(ValueError, match="corpora need different names: c4, c4, truthful_qa"):
        small(C4, C4)
    assert set(small(C4, Corpus("allenai/c4", "en", name="again")).groups) == {"c4", "again", "truthful_qa"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.array([0, 1])},
        {"labels": np.array([1.0, 1.0])},
        {"groups": None},
        {"groups": np.array(["a"])},
        {"test_rows": None},
        {"vocabulary": 0},
        {"classes": ("a",)},
        {"standardise": True},
    ],
)
def test_sources_that_are_no_texts(change: dict[str, Any]) -> None:
    fine = {
        "labels": np.array([1, 1]),
        "groups": np.array(["a", "b"]),
        "test_rows": np.array([1]),
        "vocabulary": 9,
        "standardise": False,
    }
    Source("language", take=lambda rows: rows, **fine)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="texts"):
        Source("language", take=lambda rows: rows, **{**fine, **change})  # type: ignore[arg-type]


# The problem


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
    asked = [row.numpy().tobytes() for row in [*one.validation.x, *one.test.x]]
    assert len(set(asked)) == 80
    assert one.revision == same.revision != other.revision
    assert torch.equal(one.test.x, same.test.x)
    assert set(one.rows) != set(other.rows)
    assert one.players == 60  # without groups texts are players


def test_answers_alone_are_the_target(text_mirror: Path) -> None:
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


def test_what_evaluators_get_are_copies_of_tokens(text_mirror: Path) -> None:
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


def test_a_source_of_ones_own_keeps_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(UserError, match=r"'digits' must give tokens of texts as uint16 of shape \(texts, length\)"):
        build_problem("digits", Sizes(train=2, validation=2, test=2), CLEAN, 0, BY_CORPORA)


def test_rows_of_corpora_need_not_be_together() -> None:
    groups, test_rows = np.array(["b", "a", "q", "b", "a", "a"]), np.array([2, 5])
    source = Source("language", np.ones(6, dtype=np.int64), lambda rows: rows, (), False, test_rows, groups, 9)
    found = {name: rows.tolist() for name, rows in rows_of_corpora(source).items()}
    assert list(found.items()) == [("a", [1, 4]), ("b", [0, 3])]


# What is refused


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
def test_sizes_that_cannot_be(text_mirror: Path, sizes: tuple[int, int, int], message: str) -> None:
    wanted = Sizes(train=sizes[0], validation=sizes[1], test=sizes[2])
    with pytest.raises(UserError) as caught:
        build_problem("tiny_text", wanted, CLEAN, 0, BY_CORPORA)
    assert str(caught.value) == message
    with pytest.raises(UserError) as caught:
        check(suite(sizes=wanted))
    assert str(caught.value).startswith("suite 'made-up': tiny_text")
    assert str(caught.value).endswith(message)


def test_all_that_there_is_can_be_used(text_mirror: Path) -> None:
    problem = build_problem("tiny_text", Sizes(train=750, validation=22, test=100), CLEAN, 0, BY_CORPORA)
    assert sorted(problem.rows) == list(range(750))


def suite(dataset: str = "tiny_text", **problem: Any) -> Suite:
    settings = {"dataset": dataset, "sizes": SIZES, "model": {"name": "mlp"}, "groups": BY_CORPORA, **problem}
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
        ("tiny_text", Noise(kind="labels", rate=0.2), None, "is of texts, into which no noise is injected"),
        ("tiny_text", Noise(kind="features", rate=0.2), None, "is of texts, into which no noise is injected"),
        ("tiny_text", CLEAN, Groups(by="classes"), "tiny_text holds texts, which have no classes: group by 'corpora'"),
        ("digits", CLEAN, BY_CORPORA, "digits has no corpora of texts: group by 'random'"),
        ("diabetes", CLEAN, BY_CORPORA, "diabetes has no corpora of texts: group by 'random'"),
    ],
)
def test_noise_and_groups_that_cannot_be(
    text_mirror: Path, dataset: str, noise: Noise, groups: Groups | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_problem(dataset, SIZES, noise, 0, groups)
    with pytest.raises(UserError, match=message):
        check(suite(dataset, noise=noise, groups=groups))


def test_corpora_are_counted_before_anything_runs(text_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr("dvbench.scoring.contract.check_players", lambda players, *_: counted.append(players))
    check(suite())
    assert counted == [5]


@pytest.mark.parametrize("more", [{"count": 3}, {"column": "text"}])
def test_groups_by_corpora_have_neither_count_nor_column(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="need"):
        Groups(by="corpora", **more)
    assert str(BY_CORPORA) == "corpora"


# Where texts come from


def test_a_short_corpus(text_mirror: Path) -> None:
    with pytest.raises(UserError) as caught:
        small(C4, texts=201)
    assert str(caught.value) == (
        f"allenai/c4 (en, train) in {text_mirror}/allenai/c4/sample has 200 texts that are not empty, fewer "
        "than the 201 asked for"
    )


def test_a_corpus_without_text(mirror: Path) -> None:
    write_rows(mirror / "allenai/c4/sample", "train", {"text": ["", " \n", None]})
    with pytest.raises(UserError, match=r"^allenai/c4 \(en, train\) in .* has no text that is not empty$"):
        small(C4)


def test_a_missing_column(mirror: Path) -> None:
    with pytest.raises(UserError, match=r"^allenai/c4 has no column 'content': it has text, url$"):
        small(Corpus("allenai/c4", "en", column="content"))
    write_rows(mirror / QUESTIONS, "validation", {"question": ["why?"], "answer": ["so"]})
    with pytest.raises(UserError, match=r"has no column 'best_answer': it has question, answer$"):
        small(C4)


def test_a_column_of_numbers(mirror: Path) -> None:
    write_rows(mirror / "allenai/c4/sample", "train", {"text": [1, 2]})
    with pytest.raises(UserError, match=r"^column 'text' of allenai/c4 holds int, not text$"):
        small(C4)


def test_a_corpus_that_is_nowhere(text_mirror: Path, calls: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        small(Corpus("HuggingFaceTB/cosmopedia", "web_samples_v1"))
    assert str(caught.value) == (
        "cannot get HuggingFaceTB/cosmopedia: no mirror has it, and the Hugging Face hub gave no answer (no network); "
        "pass --mirror DIR or set DVBENCH_MIRROR to a folder that has it"
    )
    assert calls == ["HuggingFaceTB/cosmopedia"]


def test_a_broken_file_is_named(mirror: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (path,) = (mirror / "allenai/c4/sample").iterdir()
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match=r"cannot read allenai/c4 in the mirror \(.*train-00000-of-00001.parquet\)"):
        small(C4)
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_the_configs_name_comes_first(mirror: Path) -> None:
    own = write_rows(mirror / "allenai/c4/data/en", "train", {"text": [f"own {k}" for k in range(9)]})
    assert mirrored_files("allenai/c4", "train", "en") == [own]
    assert len(mirrored_files("allenai/c4", "train")) == 2
    assert told(500, small(C4, texts=2).take(np.arange(2))) == ["own 0", "own 1"]


def test_another_config_is_not_taken_for_it(text_mirror: Path, calls: list[str]) -> None:
    assert mirrored_files("Salesforce/wikitext", "train", "wikitext-103-v1") == []
    with pytest.raises(UserError, match="cannot get Salesforce/wikitext"):
        small(Corpus("Salesforce/wikitext", "wikitext-103-v1"))


def test_a_file_of_the_mirror_that_changed_is_read_again(mirror: Path) -> None:
    before = small(C4, texts=2).take(np.arange(2))
    texts = [row["text"] for row in texts_of(mirror / "allenai/c4/sample")]
    write_rows(mirror / "allenai/c4/sample", "train", {"text": ["something new", *texts]})
    after = small(C4, texts=2).take(np.arange(2))
    assert told(500, after)[0].startswith("something new"[:10])
    np.testing.assert_array_equal(before[0], after[1])


def test_the_hub_is_streamed(text_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load_dataset(*arguments: object, **options: object) -> Iterator[dict[str, str]]:
        asked.append((arguments, options))
        return iter([{"text": f"text {k}", "url": ""} for k in range(30)])

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, repo_id, **_: asked.append(repo_id))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert list(stream("some/thing", ("text",), "train", "part"))[1] == {"text": "text 1"}
    assert asked == ["some/thing", (("some/thing", "part"), {"split": "train", "streaming": True})]


def test_a_stream_that_breaks_off(text_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: object, **__: object) -> Iterator[dict[str, str]]:
        yield {"text": "one"}
        raise ConnectionError("lost\nit")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"^cannot get some/thing: .*\(lost\); pass --mirror DIR"):
        small(Corpus("some/thing"))


# Texts of one's own


WRITERS: dict[str, Callable[[Path, list[str]], Any]] = {
    "txt": lambda path, texts: path.write_text("\n\n".join(texts) + "\n"),
    "jsonl": lambda path, texts: path.write_text("".join(json.dumps({"text": t, "n": 1}) + "\n" for t in texts)),
    "json": lambda path, texts: path.write_text(json.dumps([{"text": t, "n": 1} for t in texts])),
    "csv": lambda path, texts: path.write_text("\n".join(["n,text", *(f'1,"{t}"' for t in texts)])),
    "parquet": lambda path, texts: write_rows(path.parent / "made", "x", {"text": texts}).rename(path),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_of_ones_own(suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    texts = ["One, two: café.", "Three\nlines\nhere", "日本語 🎉"]
    WRITERS[suffix](tmp_path / f"mine.{suffix}", [texts[0], "", *texts[1:]])
    assert list(read_texts([tmp_path / f"mine.{suffix}"])) == texts
    assert list(read_texts([str(tmp_path / f"mine.{suffix}")] * 2)) == texts * 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_a_file_without_the_column(suffix: str, tmp_path: Path) -> None:
    WRITERS[suffix](tmp_path / f"mine.{suffix}", ["a", "b"])
    with pytest.raises(UserError, match=rf"mine\.{suffix} has no column 'content': it has .*text"):
        list(read_texts([tmp_path / f"mine.{suffix}"], "content"))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_of_ones_own_without_text(suffix: str, tmp_path: Path) -> None:
    WRITERS[suffix](tmp_path / f"mine.{suffix}", ["", "  "])
    with pytest.raises(UserError, match=rf"mine\.{suffix} has no text that is not empty|cannot read"):
        list(read_texts([tmp_path / f"mine.{suffix}"]))


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00{"])
def test_a_file_that_cannot_be_read(
    suffix: str, content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    (tmp_path / f"mine.{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=rf"mine\.{suffix}") as caught:
        list(read_texts([tmp_path / f"mine.{suffix}"]))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_files_that_cannot_be_meant_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.pdf").write_text("x")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(
        UserError, match=r"cannot read texts from .*mine\.pdf: its name must end in one of \.txt, \.jsonl, "
    ):
        read_texts([tmp_path / "mine.pdf"])
    for name in ("nothing.txt", "folder.txt"):
        with pytest.raises(UserError, match=rf"there is no file .*{name} to read texts from"):
            read_texts([tmp_path / name])


# The real ones


@needs_corpora
def test_the_real_tiny_text(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    capfd.readouterr()
    source = load_source("tiny_text")
    assert capfd.readouterr() == ("", "")
    assert source.test_rows is not None
    assert len(source.labels) == 5 * 150 + 817
    wikitext, story = told(2048, source.take(np.array([0, 600])))
    assert wikitext == " = Valkyria Chronicles III = \n"
    assert story.startswith("One day, a little girl named Lily found a needle")
    (first,) = told(2048, source.take(source.test_rows[:1]))
    assert first.startswith("What happens to you if you eat watermelon seeds? ")


@needs_corpora
def test_real_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_MIRROR", str(REAL))
    problem = build_problem(ANSWERS, SIZES, CLEAN, 0, BY_CORPORA)
    rows, begins = problem.test.x.numpy(), problem.test.y.numpy()[:, 0].astype(int)
    before = [told(2048, row[np.newaxis, :begin])[0] for row, begin in zip(rows, begins, strict=True)]
    assert sum(text.endswith("?") for text in before) > 40
