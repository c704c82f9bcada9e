"""Data sets of texts: which texts and tokens a source holds, and where it reads them from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pytest
from made_up_corpora import LONG, N_QUESTIONS, QUESTIONS, VOCABULARY, decode_rows, write_rows

from dvbench.errors import UserError
from dvbench.problems.build import load_source
from dvbench.problems.hub import mirrored_files, stream
from dvbench.problems.perplexity import PADDING
from dvbench.problems.source import Source
from dvbench.problems.text_corpora import Corpus, text_source

ANSWERS = "tiny_text?counted=answers"
C4 = Corpus("allenai/c4", "en")
STORIES = Corpus("roneneldan/TinyStories")


@pytest.fixture
def mirror(made_up_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the made-up mirror, which a test may change."""
    folder = tmp_path / "mirror"
    shutil.copytree(made_up_mirror, folder)
    monkeypatch.setenv("DVBENCH_MIRROR", str(folder))
    return folder


def small(*corpora: Corpus, texts: int = 20, length: int = 16, **options: Any) -> Source:
    return text_source(corpora or (C4, STORIES), texts=texts, length=length, vocabulary=500, **options)


def texts_of(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    return datasets.Dataset.from_parquet(str(next(folder.glob(f"{split}-*"))), keep_in_memory=True).to_list()


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
    assert decode_rows(500, source.take(np.arange(45))) == wanted


def test_rows_are_read_in_any_order(text_mirror: Path) -> None:
    source = small()
    everything = source.take(np.arange(len(source.labels)))
    rows = np.array([41, 3, 25, 0, 3, 39])
    np.testing.assert_array_equal(source.take(rows), everything[rows])
    assert source.take(rows[:0]).shape == (0, 16)


def test_questions_are_followed_by_answers(text_mirror: Path) -> None:
    source = small(length=600)
    questions = texts_of(text_mirror / QUESTIONS, "validation")
    assert decode_rows(500, source.take(source.test_rows)) == [
        f"{row['question']} {row['best_answer']}" for row in questions
    ]
    assert (source.labels == 1).all()


def test_the_loss_may_include_answers_only(text_mirror: Path) -> None:
    source = small(length=600, counted="answers")
    assert source.test_rows is not None
    assert (source.labels[: source.test_rows[0]] == 1).all()
    rows, questions = source.take(source.test_rows), texts_of(text_mirror / QUESTIONS, "validation")
    answers = [
        decode_rows(500, row[begin:][np.newaxis])[0]
        for row, begin in zip(rows, source.labels[source.test_rows], strict=True)
    ]
    assert answers == [f" {row['best_answer']}" for row in questions]


def test_questions_without_space_for_an_answer_are_dropped(text_mirror: Path) -> None:
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


def test_the_vocabulary_is_all_of_gpt2s_by_default(text_mirror: Path) -> None:
    assert text_source([C4], texts=5, length=8).vocabulary == VOCABULARY


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
def test_invalid_sources_of_texts_are_refused(change: dict[str, Any]) -> None:
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


def test_a_corpus_that_is_not_available(text_mirror: Path, hub_requests: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        small(Corpus("HuggingFaceTB/cosmopedia", "web_samples_v1"))
    assert str(caught.value) == (
        "cannot get HuggingFaceTB/cosmopedia: no mirror has it, and the Hugging Face hub gave no answer (no network); "
        "pass --mirror DIR or set DVBENCH_MIRROR to a folder that has it"
    )
    assert hub_requests == ["HuggingFaceTB/cosmopedia"]


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
    assert decode_rows(500, small(C4, texts=2).take(np.arange(2))) == ["own 0", "own 1"]


def test_files_of_another_config_are_not_read(text_mirror: Path, hub_requests: list[str]) -> None:
    assert mirrored_files("Salesforce/wikitext", "train", "wikitext-103-v1") == []
    with pytest.raises(UserError, match="cannot get Salesforce/wikitext"):
        small(Corpus("Salesforce/wikitext", "wikitext-103-v1"))


def test_a_file_of_the_mirror_that_changed_is_read_again(mirror: Path) -> None:
    before = small(C4, texts=2).take(np.arange(2))
    texts = [row["text"] for row in texts_of(mirror / "allenai/c4/sample")]
    write_rows(mirror / "allenai/c4/sample", "train", {"text": ["something new", *texts]})
    after = small(C4, texts=2).take(np.arange(2))
    assert decode_rows(500, after)[0].startswith("something new"[:10])
    np.testing.assert_array_equal(before[0], after[1])


def test_the_hub_is_streamed(text_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def load_dataset(*arguments: object, **options: object) -> Iterator[dict[str, str]]:
        calls.append((arguments, options))
        return iter([{"text": f"text {k}", "url": ""} for k in range(30)])

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, repo_id, **_: calls.append(repo_id))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert list(stream("some/thing", ("text",), "train", "part"))[1] == {"text": "text 1"}
    assert calls == ["some/thing", (("some/thing", "part"), {"split": "train", "streaming": True})]


def test_a_stream_that_breaks_off(text_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: object, **__: object) -> Iterator[dict[str, str]]:
        yield {"text": "one"}
        raise ConnectionError("lost\nit")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"^cannot get some/thing: .*\(lost\); pass --mirror DIR"):
        small(Corpus("some/thing"))
