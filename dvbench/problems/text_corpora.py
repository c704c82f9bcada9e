"""Data sets of texts: training texts from corpora, validation and test texts from questions with answers.

A data set plug-in of texts calls `text_source` with a list of `Corpus`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.hub import mirrored_files, stream, stream_file
from dvbench.problems.source import Source
from dvbench.problems.text_files import BUILDERS, require_text_files
from dvbench.problems.token_cache import Passage, Progress, Request, TokenFile, token_file
from dvbench.problems.tokenizer import Vocabulary, load_vocabulary

Counted = Literal["texts", "answers"]


@dataclass(frozen=True)
class Corpus:
    """A corpus of training texts: a data set of the Hugging Face hub.

    Parameters
    ----------
    hub_id : str
    config : str, optional
        Name of a config of the data set on the hub.
    split : str
    column : str
        Column that holds the texts.
    name : str, optional
        Name of the corpus as a player; by default the last part of its hub id.
    """

    hub_id: str
    config: str | None = None
    split: str = "train"
    column: str = "text"
    name: str | None = None

    @property
    def title(self) -> str:
        """Name of the corpus as a player."""
        return self.name or self.hub_id.rpartition("/")[2]


@dataclass(frozen=True)
class Questions:
    """Questions with answers: a data set of the Hugging Face hub.

    Parameters
    ----------
    hub_id : str
    config : str, optional
        Name of a config of the data set on the hub.
    split : str
    question, answer : str
        Columns that hold the questions and the answers.
    """

    hub_id: str
    config: str | None
    split: str
    question: str
    answer: str

    @property
    def title(self) -> str:
        """Last part of the hub id."""
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
    """Make a data set whose training texts are corpora, and whose test rows are questions with answers.

    Parameters
    ----------
    corpora : sequence of Corpus
        Their names must differ.
    texts : int
        Number of texts of each corpus: the first ones that are not empty.
    length : int
        Maximum number of tokens of each text, with the begin-of-text token; longer texts are truncated.
    vocabulary : int, optional
        Number of GPT-2's tokens to use; by default all of them.
    counted : {"texts", "answers"}
        Which tokens of questions and answers the loss includes: all of them, or those of the answers. With
        ``"answers"``, questions that are so long that no token of their answers is left are dropped.
    questions : Questions
    progress : callable, optional
        Called from time to time with the number of texts of a corpus that have been tokenized.

    Returns
    -------
    Source
        The rows of the corpora come first, in their order, then the questions.

    Raises
    ------
    UserError
        If texts are not available or too few, or their tokens cannot be written to the cache.
    """
    encoding = load_vocabulary(vocabulary)
    question_file = _question_tokens(questions, length, encoding)
    kept, loss_starts = _loss_starts(question_file, length, counted, questions)
    corpus_files = [_corpus_tokens(corpus, texts, length, encoding, progress) for corpus in corpora]
    names = [*(corpus.title for corpus in corpora), questions.title]
    if len(set(names)) < len(names):
        raise ValueError(f"corpora need different names: {', '.join(names)}")
    rows = [*(file.rows for file in corpus_files), question_file.rows[kept]]
    counts = list(map(len, rows))
    return Source(
        "language",
        labels=np.concatenate([np.ones(sum(counts[:-1]), dtype=np.int64), loss_starts]),
        take=_RowReader(rows, length),
        standardise=False,
        test_rows=np.arange(sum(counts[:-1]), sum(counts)),
        groups=np.repeat(names, counts),
        vocabulary=encoding.size,
    )


def read_texts(paths: Iterable[Path | str], column: str = "text") -> Iterator[str]:
    """Read the texts of the user's files one after the other; no file is loaded into memory as a whole.

    Parameters
    ----------
    paths : iterable of Path or str
        ``.txt`` files, in which empty lines separate texts, or ``.jsonl``, ``.json``, ``.csv`` or ``.parquet`` files
        with a column of texts.
    column : str
        Name of that column.

    Returns
    -------
    iterator of str
        Texts that are not empty.

    Raises
    ------
    UserError
        At the call if a file does not exist or has another suffix; during iteration if a file cannot be read, or has
        no such column or no text.
    """
    files = [Path(path) for path in paths]
    require_text_files(files)
    return (text for path in files for text in _read_file(path, column))


def _read_file(path: Path, column: str) -> Iterator[str]:
    builder, options = BUILDERS[path.suffix.lower()]
    if builder == "text":
        column = "text"
    has_text = False
    rows = stream_file(path, builder, (column,), options) if path.stat().st_size else ()
    for row in rows:
        text = _check_text(row[column], str(path), column)
        if builder == "text":
            text = text.strip("\r\n")  # `datasets` leaves the line end after the last paragraph
        if text.strip():
            has_text = True
            yield text
    if not has_text:
        raise UserError(f"{path} has no text that is not empty")


def _question_tokens(questions: Questions, length: int, encoding: Vocabulary) -> TokenFile:
    columns = (questions.question, questions.answer)
    location = (questions.hub_id, columns, questions.split, questions.config)

    def passages() -> Iterator[Passage]:
        for row in stream(*location):
            question, answer = (_check_text(row[column], questions.hub_id, column) for column in columns)
            yield question, answer and f" {answer}"

    request = Request(origin=_origin(*location), texts=None, length=length, vocabulary=encoding.sha256)
    return token_file(request, passages, encoding, _title(questions.hub_id, questions.config, questions.split))


def _corpus_tokens(
    corpus: Corpus, texts: int, length: int, encoding: Vocabulary, progress: Progress | None
) -> TokenFile:
    location = (corpus.hub_id, (corpus.column,), corpus.split, corpus.config)

    def passages() -> Iterator[Passage]:
        for row in stream(*location):
            yield (_check_text(row[corpus.column], corpus.hub_id, corpus.column),)

    request = Request(origin=_origin(*location), texts=texts, length=length, vocabulary=encoding.sha256)
    return token_file(request, passages, encoding, _title(corpus.hub_id, corpus.config, corpus.split), progress)


def _loss_starts(file: TokenFile, length: int, counted: Counted, questions: Questions) -> tuple[np.ndarray, np.ndarray]:
    """Mask of the questions that are kept, and for each of these the position of the first token in the loss."""
    if counted == "texts":
        return np.ones(len(file.rows), dtype=bool), np.ones(len(file.rows), dtype=np.int64)
    answer_starts = np.array(file.record.starts, dtype=np.int64)
    kept = answer_starts < length
    if not kept.any():
        raise UserError(f"no answer of {questions.title} begins within {length} tokens: keep more tokens of each text")
    return kept, answer_starts[kept]


class _RowReader:
    """Reads rows of several arrays by their row numbers in the concatenation of these arrays, which is never made."""

    def __init__(self, arrays: list[np.ndarray], length: int) -> None:
        self.arrays, self.length = arrays, length
        self.ends = np.cumsum([len(array) for array in arrays])

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        tokens = np.empty((len(rows), self.length), dtype=np.uint16)
        array_numbers = np.searchsorted(self.ends, rows, side="right")
        for k, array in enumerate(self.arrays):
            in_array = array_numbers == k
            tokens[in_array] = array[rows[in_array] - (self.ends[k] - len(array))]
        return tokens


def _origin(hub_id: str, columns: tuple[str, ...], split: str, config: str | None) -> dict[str, Any]:
    """Origin of texts for a `Request`; mirrored files, which may change, are identified by name, size and time."""
    files = [(path, path.stat()) for path in mirrored_files(hub_id, split, config)]
    return {
        "hub_id": hub_id,
        "config": config,
        "split": split,
        "columns": list(columns),
        "files": [[path.name, stat.st_size, stat.st_mtime_ns] for path, stat in files],
    }


def _title(hub_id: str, config: str | None, split: str) -> str:
    """Name of texts in messages, with the folder of the mirror, which may have fewer texts than the hub."""
    files = mirrored_files(hub_id, split, config)
    folder = f" in {files[0].parent}" if files else ""
    return f"{hub_id} ({config + ', ' if config else ''}{split}){folder}"


def _check_text(value: object, source: str, column: str) -> str:
    """Return a text as it is and an empty one for a missing value, and refuse any other value."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"column '{column}' of {source} holds {type(value).__name__}, not text")
    return value
