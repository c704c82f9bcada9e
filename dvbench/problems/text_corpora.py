"""Corpora of texts as data sets: the first texts of each to train on, and questions with answers to test with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.hub import mirrored_files, stream, stream_file
from dvbench.problems.source import Source
from dvbench.problems.token_cache import Passage, Progress, Request, TokenFile, token_file
from dvbench.problems.tokenizer import Vocabulary, load_vocabulary

Counted = Literal["texts", "answers"]
BUILDERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {}),
    ".parquet": ("parquet", {}),
}


@dataclass(frozen=True)
class Corpus:
    """Texts of a data set of the Hugging Face hub.

    Parameters
    ----------
    hub_id : str
    config : str, optional
        Part of the data set, as the hub calls it.
    split : str
    column : str
        Which holds the texts.
    name : str, optional
        What it is called as a player; the last part of its hub id by default.
    """

    hub_id: str
    config: str | None = None
    split: str = "train"
    column: str = "text"
    name: str | None = None

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.hub_id.rpartition("/")[2]


@dataclass(frozen=True)
class Questions:
    """Questions with answers, of a data set of the Hugging Face hub.

    Parameters
    ----------
    hub_id : str
    config : str, optional
    split : str
    question, answer : str
        Names of its columns.
    """

    hub_id: str
    config: str | None
    split: str
    question: str
    answer: str

    @property
    def title(self) -> str:
        """What they are called."""
        return self.hub_id.rpartition("/")[2]


TRUTHFUL_QA = Questions("truthfulqa/truthful_qa", "generation", "validation", "question", "best_answer")


def text_source(
    corpora: Sequence[Corpus],
    *,
    texts: int,
    length: int,
    vocabulary: int | None = None,
    counted: Counted = "texts",
    questions: Questions = TRUTHFUL_QA,
    progress: Progress | None = None,
) -> Source:
    """Make a data set of corpora, whose test set are questions with answers.

    Parameters
    ----------
    corpora : sequence of Corpus
        Their names must differ.
    texts : int
        Texts of each: the first that are not empty.
    length : int
        Tokens of each text; what is beyond is cut off.
    vocabulary : int, optional
        How many of GPT-2's tokens there are; all by default.
    counted : {"texts", "answers"}
        Whether the loss on test texts is that of questions and answers, or of answers alone. Questions that are too
        long for their answers to begin are left out of the latter.
    questions : Questions
    progress : callable, optional
        Told the number of texts done of a corpus, from time to time.

    Returns
    -------
    Source
        Rows count through the corpora in turn and then the questions.

    Raises
    ------
    UserError
        If texts cannot be had or are too few, or their tokens cannot be kept.
    """
    words = load_vocabulary(vocabulary)
    asked = _question_tokens(questions, length, words)
    kept, begins = _begins(asked, length, counted, questions)
    files = [_corpus_tokens(corpus, texts, length, words, progress) for corpus in corpora]
    names = [*(corpus.title for corpus in corpora), questions.title]
    if len(set(names)) < len(names):
        raise ValueError(f"corpora need different names: {', '.join(names)}")
    rows = [*(file.rows for file in files), asked.rows[kept]]
    counts = list(map(len, rows))
    return Source(
        "language",
        labels=np.concatenate([np.ones(sum(counts[:-1]), dtype=np.int64), begins]),
        take=_Reader(rows, length),
        standardise=False,
        test_rows=np.arange(sum(counts[:-1]), sum(counts)),
        groups=np.repeat(names, counts),
        vocabulary=words.size,
    )


def read_texts(paths: Iterable[Path | str], column: str = "text") -> Iterator[str]:
    """Read texts of files of one's own, one after the other, without holding any file in memory.

    Parameters
    ----------
    paths : iterable of Path or str
        ``.txt`` with paragraphs between empty lines, or ``.jsonl``, ``.json``, ``.csv`` or ``.parquet`` with a column
        of texts.
    column : str
        Its name.

    Returns
    -------
    iterator of str
        Texts that are not empty.

    Raises
    ------
    UserError
        At once if a file is not there or of no such kind; later if one has no such column or no text, or cannot be
        read.
    """
    files = [Path(path) for path in paths]
    for path in files:
        if path.suffix.lower() not in BUILDERS:
            raise UserError(f"{path} is none of {', '.join(BUILDERS)}, which texts are read from")
        if not path.is_file():
            raise UserError(f"there is no file {path} to read texts from")
    return (text for path in files for text in _texts_of(path, column))


def _texts_of(path: Path, column: str) -> Iterator[str]:
    builder, options = BUILDERS[path.suffix.lower()]
    wanted = "text" if builder == "text" else column
    found = False
    rows = stream_file(path, builder, (wanted,), options) if path.stat().st_size else ()
    for row in rows:
        text = _text(row[wanted], str(path), wanted)
        if builder == "text":
            text = text.strip("\r\n")  # the last paragraph keeps the end of its line
        if text.strip():
            found = True
            yield text
    if not found:
        raise UserError(f"{path} has no text that is not empty")


def _question_tokens(questions: Questions, length: int, words: Vocabulary) -> TokenFile:
    columns = (questions.question, questions.answer)
    where = (questions.hub_id, columns, questions.split, questions.config)

    def passages() -> Iterator[Passage]:
        for row in stream(*where):
            question, answer = (_text(row[column], questions.hub_id, column) for column in columns)
            yield question, answer and f" {answer}"

    request = Request(origin=_origin(*where), texts=None, length=length, vocabulary=words.sha256)
    return token_file(request, passages, words, _described(questions.hub_id, questions.config, questions.split))


def _corpus_tokens(corpus: Corpus, texts: int, length: int, words: Vocabulary, progress: Progress | None) -> TokenFile:
    where = (corpus.hub_id, (corpus.column,), corpus.split, corpus.config)

    def passages() -> Iterator[Passage]:
        for row in stream(*where):
            yield (_text(row[corpus.column], corpus.hub_id, corpus.column),)

    request = Request(origin=_origin(*where), texts=texts, length=length, vocabulary=words.sha256)
    return token_file(request, passages, words, _described(corpus.hub_id, corpus.config, corpus.split), progress)


def _begins(asked: TokenFile, length: int, counted: Counted, questions: Questions) -> tuple[np.ndarray, np.ndarray]:
    """Which questions are kept, as a mask, and from where on the tokens of each of those count."""
    if counted == "texts":
        return np.ones(len(asked.rows), dtype=bool), np.ones(len(asked.rows), dtype=np.int64)
    begins = np.array(asked.record.starts, dtype=np.int64)
    kept = begins < length
    if not kept.any():
        raise UserError(f"no answer of {questions.title} begins within {length} tokens: keep more of each text")
    return kept, begins[kept]


class _Reader:
    """Reads rows by their numbers, counted through several arrays in turn."""

    def __init__(self, arrays: list[np.ndarray], length: int) -> None:
        self.arrays, self.length = arrays, length
        self.ends = np.cumsum([len(array) for array in arrays])

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        taken = np.empty((len(rows), self.length), dtype=np.uint16)
        which = np.searchsorted(self.ends, rows, side="right")
        for k, array in enumerate(self.arrays):
            chosen = which == k
            taken[chosen] = array[rows[chosen] - (self.ends[k] - len(array))]
        return taken


def _origin(hub_id: str, columns: tuple[str, ...], split: str, config: str | None) -> dict[str, Any]:
    """Where texts come from; files of a mirror may change, and are told by name, size and time."""
    files = [(path, path.stat()) for path in mirrored_files(hub_id, split, config)]
    return {
        "hub_id": hub_id,
        "config": config,
        "split": split,
        "columns": list(columns),
        "files": [[path.name, stat.st_size, stat.st_mtime_ns] for path, stat in files],
    }


def _described(hub_id: str, config: str | None, split: str) -> str:
    """Texts' name in messages, with the folder of the mirror, which may hold less than the hub."""
    files = mirrored_files(hub_id, split, config)
    where = f" in {files[0].parent}" if files else ""
    return f"{hub_id} ({config + ', ' if config else ''}{split}){where}"


def _text(value: object, where: str, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"column '{column}' of {where} holds {type(value).__name__}, not text")
    return value
