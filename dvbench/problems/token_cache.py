"""Files of tokens in the cache: rows of token numbers, made once in a stream and mapped into memory afterwards.

A file of tokens is named after its content; a record beside it, named after what was asked for, says which file that
is. Both are moved to their places when they are whole. Deleting them costs the time to make them again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydantic import ValidationError

from dvbench.errors import UserError
from dvbench.files import cache_folder, write_atomically
from dvbench.problems.perplexity import PADDING
from dvbench.problems.tokenizer import Vocabulary
from dvbench.settings import Strict

BATCH_TEXTS = 1000
BATCH_CHARACTERS = 4_000_000
HASHED_BYTES = 256 * 2**20  # a larger file is checked by its size alone
ABANDONED_SECONDS = 24 * 60 * 60.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Passage = tuple[str, ...]
Progress = Callable[[int], None]


class Request(Strict):
    """What tokens are asked for; equal requests are answered by the same file.

    Parameters
    ----------
    origin : dict
        Where the texts come from, as JSON: another origin, other texts.
    texts : int or None
        How many, the first that are not empty; None for all.
    length : int
        Tokens of each, the mark at the beginning among them; the others are cut off.
    vocabulary : str
        SHA-256 of the vocabulary.
    """

    origin: dict[str, Any]
    texts: int | None
    length: int
    vocabulary: str
    version: int = 1

    @property
    def key(self) -> str:
        """Hash of all of it."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


class TokenRecord(Strict):
    """What was made.

    Parameters
    ----------
    sha256 : str
        Of the file of tokens.
    texts : int
        Rows of it.
    empty : int
        Empty texts that were skipped before the last of them.
    tokens : int
        Tokens kept, marks not counted.
    length : int
        Columns of it.
    starts : tuple of int
        Where the last part of each text begins, if texts are of several parts; may be beyond what was kept.
    """

    sha256: str
    texts: int
    empty: int
    tokens: int
    length: int
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class TokenFile:
    """Tokens of texts.

    Parameters
    ----------
    record : TokenRecord
    rows : numpy.ndarray of uint16, shape (texts, length)
        Mapped from a file, read only: the mark, the tokens of a text, padding.
    """

    record: TokenRecord
    rows: np.ndarray


def token_file(
    request: Request,
    passages: Callable[[], Iterable[Passage]],
    vocabulary: Vocabulary,
    name: str,
    progress: Progress | None = None,
) -> TokenFile:
    """Tokens of texts: from the cache, or made and put there.

    Parameters
    ----------
    request : Request
    passages : callable
        Begins to read the texts, each of which is one part or several that are encoded by themselves. A text with an
        empty part is skipped.
    vocabulary : Vocabulary
    name : str
        Of the texts, for messages.
    progress : callable, optional
        Told the number of texts done, from time to time.

    Returns
    -------
    TokenFile

    Raises
    ------
    UserError
        If the texts cannot be read or are too few, or the cache cannot be written or has no room.
    """
    folder = cache_folder() / "tokens"
    found = _known(folder, request)
    if found is None:
        record = _make(folder, request, passages, vocabulary, name, progress)
        write_atomically(folder / f"{request.key}.json", record.model_dump_json().encode())
        found = _opened(folder, record)
    if found is None:
        raise UserError(f"tokens of {name} in {folder} cannot be read again: set DVBENCH_CACHE to another folder")
    return found


def _known(folder: Path, request: Request) -> TokenFile | None:
    """What was made before, if it is whole."""
    try:
        record = TokenRecord.model_validate_json((folder / f"{request.key}.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return _opened(folder, record)


def _opened(folder: Path, record: TokenRecord) -> TokenFile | None:
    """Map a file into memory, unless it is not what its record says."""
    path = folder / f"{record.sha256}.npy"
    try:
        stat = path.stat()
        if stat.st_size <= HASHED_BYTES and _sha256(path, stat.st_mtime_ns, stat.st_ino) != record.sha256:
            return None
        rows = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    whole = rows.dtype == np.dtype("<u2") and rows.shape == (record.texts, record.length)
    return TokenFile(record, rows) if whole else None


@lru_cache(maxsize=64)
def _sha256(path: Path, modified: int, inode: int) -> str:
    """Hash of a file as it was when it was last modified: once a process."""
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(
    folder: Path,
    request: Request,
    passages: Callable[[], Iterable[Passage]],
    vocabulary: Vocabulary,
    name: str,
    progress: Progress | None,
) -> TokenRecord:
    """Write a file of tokens."""
    size = (request.texts or 0) * request.length * 2
    with _room_for(size, folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, "No space left on device")
        _sweep(folder)
        with _temporary(folder) as (file, temporary):
            texts = empty = tokens = 0
            starts: list[int] = []
            _write_header(file, 0, request.length)
            for batch, skipped in _batches(passages(), request.texts):
                rows, begins = _encode(batch, vocabulary, request.length)
                _write(file, rows)
                texts, empty, tokens = texts + len(rows), empty + skipped, tokens + int((rows != PADDING).sum())
                starts += begins
                if progress is not None:
                    progress(texts)
            _check_number(texts, request, name)
            file.seek(0)
            _write_header(file, texts, request.length)
            file.flush()
            os.fsync(file.fileno())
            sha256 = _digest(temporary)
            temporary.chmod(0o644)
            # Who makes the same at the same time moves the same to the same place.
            temporary.replace(folder / f"{sha256}.npy")
    return TokenRecord(
        sha256=sha256, texts=texts, empty=empty, tokens=tokens - texts, length=request.length, starts=tuple(starts)
    )


def _batches(passages: Iterable[Passage], wanted: int | None) -> Iterator[tuple[list[Passage], int]]:
    """Texts that are not empty, at most as many as are wanted, some at a time, and how many empty ones were skipped."""
    batch: list[Passage] = []
    empty = characters = done = 0
    for passage in passages:
        if not all(part.strip() for part in passage):
            empty += 1
            continue
        batch.append(passage)
        characters += sum(map(len, passage))
        done += 1
        if done == wanted or len(batch) == BATCH_TEXTS or characters >= BATCH_CHARACTERS:
            yield batch, empty
            batch, empty, characters = [], 0, 0
        if done == wanted:
            return
    if batch or empty:
        yield batch, empty


def _encode(batch: list[Passage], vocabulary: Vocabulary, length: int) -> tuple[np.ndarray, list[int]]:
    """Rows of tokens, and where the last parts begin, if there are several."""
    rows = np.full((len(batch), length), PADDING, dtype=np.uint16)
    encoded = iter(vocabulary.encode_batch([part for passage in batch for part in passage]))
    starts = []
    for row, passage in zip(rows, batch, strict=True):
        *before, last = islice(encoded, len(passage))
        tokens = [vocabulary.end, *(token for part in before for token in part)]
        if before:
            starts.append(len(tokens))
        tokens = (tokens + last)[:length]
        row[: len(tokens)] = tokens
    return rows, starts


def _check_number(texts: int, request: Request, name: str) -> None:
    if not texts:
        raise UserError(f"{name} has no text that is not empty")
    if request.texts is not None and texts < request.texts:
        raise UserError(f"{name} has {texts} texts that are not empty, and {request.texts} were asked for")


def _write_header(file: BinaryIO, texts: int, length: int) -> None:
    # NumPy leaves room in a header for more rows, so that it takes as many bytes when their number is known.
    np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": (texts, length)})


def _write(file: BinaryIO, rows: np.ndarray) -> None:
    file.write(rows.astype("<u2", copy=False).tobytes())


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside those it will be one of, gone at the end unless it was moved."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".tokens.")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Delete what a process that was killed has left."""
    for path in folder.glob(".tokens.*"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
        except OSError:  # another process was faster
            continue


@contextmanager
def _room_for(size: int, folder: Path, name: str) -> Iterator[None]:
    """Turn an operating-system error in a cache folder into one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise UserError(
                f"cannot write tokens of {name} to {folder}: {error.strerror or error}; set DVBENCH_CACHE to a folder "
                "you can write to"
            ) from error
        room = f"{math.ceil(size / 1e6):,} MB of " if size else ""
        raise UserError(
            f"{folder} has no room for {room}tokens of {name}: set DVBENCH_CACHE to a folder on another disk"
        ) from error
