"""Token files in the cache folder: rows of token numbers, written once, by one process, then memory-mapped by all.

The name of a token file is the hash of its content. A record beside it, whose name is the hash of the `Request`, holds
the name of the file. Both are complete when they appear under their names. They can be deleted at any time; they are
then made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
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
from dvbench.files import cache_folder, file_sha256, one_process_at_a_time, write_atomically
from dvbench.problems.perplexity import PADDING
from dvbench.problems.tokenizer import Vocabulary
from dvbench.settings import Strict

BATCH_TEXTS = 1000
BATCH_CHARACTERS = 4_000_000
HASHED_BYTES = 256 * 2**20  # of larger files only the size is checked, not the hash
ABANDONED_SECONDS = 24 * 60 * 60.0  # age at which a temporary file is deleted
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Passage = tuple[str, ...]  # the parts of a text, which are encoded separately
Progress = Callable[[int], None]  # is called with the number of texts that have been encoded


class Request(Strict):
    """A request for a token file; equal requests use the same file.

    All fields are hashed: a renamed field makes all cached files unknown.

    Parameters
    ----------
    origin : dict
        Origin of the texts, as JSON. It must change when the texts change.
    texts : int or None
        Number of texts: the first ones that are not empty; None for all.
    length : int
        Maximum number of tokens of each text, with the begin-of-text token; longer texts are truncated.
    vocabulary : str
        SHA-256 of the vocabulary.
    version : int
        Version of the encoding of rows.
    """

    origin: dict[str, Any]
    texts: int | None
    length: int
    vocabulary: str
    version: int = 1

    @property
    def key(self) -> str:
        """SHA-256 of all fields."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


class TokenRecord(Strict):
    """Content of a token file.

    Parameters
    ----------
    sha256 : str
        Hash of the token file.
    texts : int
        Number of texts, which are its rows.
    empty : int
        Number of empty texts that were skipped.
    tokens : int
        Number of tokens, without begin-of-text tokens and padding.
    length : int
        Number of its columns.
    starts : tuple of int
        For texts of several parts, the position of the first token of each text's last part. It may exceed ``length``,
        if the text is truncated before it.
    """

    sha256: str
    texts: int
    empty: int
    tokens: int
    length: int
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class TokenFile:
    """An opened token file.

    Parameters
    ----------
    record : TokenRecord
    rows : numpy.ndarray of uint16, shape (texts, length)
        Memory-mapped and read-only. Each row holds the begin-of-text token, the tokens of a text, and padding.
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
    """Open the token file of a request; write it first if it is not in the cache.

    Parameters
    ----------
    request : Request
    passages : callable
        Starts to read the texts. Each text is a tuple of one part or several, which are encoded separately. A text with
        an empty part is skipped.
    vocabulary : Vocabulary
    name : str
        Name of the texts, for messages.
    progress : callable, optional
        Called from time to time with the number of texts that have been encoded.

    Returns
    -------
    TokenFile

    Raises
    ------
    UserError
        If the texts cannot be read or are too few, or the cache cannot be written or its disk is full.
    """
    folder = cache_folder() / "tokens"
    file = _find(folder, request)
    if file is None:
        with one_process_at_a_time(request.key):
            file = _find(folder, request)  # another process may have written it meanwhile
            if file is None:
                record = _create(folder, request, passages, vocabulary, name, progress)
                write_atomically(folder / f"{request.key}.json", record.model_dump_json().encode())
                file = _open(folder, record)
    if file is None:
        raise UserError(f"tokens of {name} in {folder} cannot be read again: set DVBENCH_CACHE to another folder")
    return file


def _find(folder: Path, request: Request) -> TokenFile | None:
    """Open the token file of an earlier equal request; None if there is none or it is damaged."""
    try:
        record = TokenRecord.model_validate_json((folder / f"{request.key}.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return _open(folder, record)


def _open(folder: Path, record: TokenRecord) -> TokenFile | None:
    """Memory-map a token file; None if it does not match its record."""
    path = folder / f"{record.sha256}.npy"
    try:
        stat = path.stat()
        if stat.st_size <= HASHED_BYTES and _sha256(path, stat.st_mtime_ns, stat.st_ino) != record.sha256:
            return None
        rows = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    matches = rows.dtype == np.dtype("<u2") and rows.shape == (record.texts, record.length)
    return TokenFile(record, rows) if matches else None


@lru_cache(maxsize=64)
def _sha256(path: Path, modified: int, inode: int) -> str:
    """Hash a file, once in a process for each modification time and inode."""
    return file_sha256(path)


def _create(
    folder: Path,
    request: Request,
    passages: Callable[[], Iterable[Passage]],
    vocabulary: Vocabulary,
    name: str,
    progress: Progress | None,
) -> TokenRecord:
    """Write a token file."""
    size = (request.texts or 0) * request.length * 2  # in bytes; unknown for all texts of a stream
    with _disk_errors_in_one_line(size, folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, "No space left on device")
        _delete_abandoned(folder)
        with _temporary_file(folder) as (file, temporary):
            texts = empty = tokens = 0
            starts: list[int] = []
            _write_header(file, 0, request.length)
            for batch, skipped in _batches(passages(), request.texts):
                rows, batch_starts = _encode(batch, vocabulary, request.length)
                _write_rows(file, rows)
                texts, empty, tokens = texts + len(rows), empty + skipped, tokens + int((rows != PADDING).sum())
                starts += batch_starts
                if progress is not None:
                    progress(texts)
            _check_count(texts, request, name)
            file.seek(0)
            _write_header(file, texts, request.length)
            file.flush()
            os.fsync(file.fileno())
            sha256 = file_sha256(temporary)
            # A process that creates the same tokens at the same time replaces the file by an equal one.
            temporary.replace(folder / f"{sha256}.npy")
    return TokenRecord(
        sha256=sha256, texts=texts, empty=empty, tokens=tokens - texts, length=request.length, starts=tuple(starts)
    )


def _batches(passages: Iterable[Passage], limit: int | None) -> Iterator[tuple[list[Passage], int]]:
    """Batches of texts that are not empty, ``limit`` texts in all, each with the number of empty texts skipped."""
    batch: list[Passage] = []
    empty = characters = count = 0
    for passage in passages:
        if not all(part.strip() for part in passage):
            empty += 1
            continue
        batch.append(passage)
        characters += sum(map(len, passage))
        count += 1
        if count == limit or len(batch) == BATCH_TEXTS or characters >= BATCH_CHARACTERS:
            yield batch, empty
            batch, empty, characters = [], 0, 0
        if count == limit:
            return
    if batch or empty:
        yield batch, empty


def _encode(batch: list[Passage], vocabulary: Vocabulary, length: int) -> tuple[np.ndarray, list[int]]:
    """Rows of tokens and, of texts with several parts, the start of each last part."""
    rows = np.full((len(batch), length), PADDING, dtype=np.uint16)
    encoded = iter(vocabulary.encode_batch([part for passage in batch for part in passage]))
    starts = []
    for row, passage in zip(rows, batch, strict=True):
        *before, last = islice(encoded, len(passage))
        tokens = [vocabulary.begin_of_text, *(token for part in before for token in part)]
        if before:
            starts.append(len(tokens))
        tokens = (tokens + last)[:length]
        row[: len(tokens)] = tokens
    return rows, starts


def _check_count(texts: int, request: Request, name: str) -> None:
    if not texts:
        raise UserError(f"{name} has no text that is not empty")
    if request.texts is not None and texts < request.texts:
        raise UserError(f"{name} has {texts} texts that are not empty, fewer than the {request.texts} asked for")


def _write_header(file: BinaryIO, texts: int, length: int) -> None:
    # NumPy pads a header for a larger number of rows, so it takes the same number of bytes once this number is known.
    np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": (texts, length)})


def _write_rows(file: BinaryIO, rows: np.ndarray) -> None:
    file.write(rows.astype("<u2", copy=False).tobytes())


@contextmanager
def _temporary_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Create a file in the folder of token files, and delete it at the end unless it was renamed."""
    temporary = folder / f".tokens.{secrets.token_hex(4)}"
    try:
        with temporary.open("x+b") as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


def _delete_abandoned(folder: Path) -> None:
    """Delete old temporary files, which killed processes left."""
    for path in folder.glob(".tokens.*"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
        except OSError:  # another process deleted it first
            continue


@contextmanager
def _disk_errors_in_one_line(size: int, folder: Path, name: str) -> Iterator[None]:
    """Turn an `OSError` in the cache folder into a `UserError` of one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise UserError(
                f"cannot write tokens of {name} to {folder}: {error.strerror or error}; set DVBENCH_CACHE to a folder "
                "you can write to"
            ) from error
        needed = f"{math.ceil(size / 1e6):,} MB of " if size else ""
        raise UserError(
            f"{folder} has no space for {needed}tokens of {name}: set DVBENCH_CACHE to a folder on another disk"
        ) from error
