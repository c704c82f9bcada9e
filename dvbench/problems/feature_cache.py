"""Features of frozen encoders in the cache folder: computed once for each row, and found by the content of the row.

Each encoder has an SQLite file, in which the key of a row is a hash of the encoder and of the row's content. So the
same row is encoded once for all problems, data sets and seeds that use it. A batch of rows is encoded under the write
lock of the file and stored in one transaction: several processes share the work and do not repeat it, and what a killed
process had stored is used by the next one. Each row has a checksum; a row or a file that is damaged is made again. The
files can be deleted at any time.
"""

from __future__ import annotations

import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from dvbench.errors import UserError

LOCK_SECONDS = 3600.0  # how long a process waits for others; each holds the lock while it encodes one batch
QUIET_SECONDS = 5.0  # of encoding before the first line of progress, and after the last one
REPORT_SECONDS = 30.0  # between two lines of progress

Batch = tuple[Sequence[bytes], Callable[[], np.ndarray]]
"""Keys of the rows of a batch, and a function that encodes it: returns float32 of shape (rows, columns)."""


def read_or_encode(
    path: Path, keys: Sequence[bytes], batches: Callable[[Sequence[int]], Iterable[Batch]]
) -> np.ndarray:
    """Read the features of rows; those that are not in the file are encoded and stored first.

    Parameters
    ----------
    path : Path
        File of the encoder. It is created if it does not exist.
    keys : sequence of bytes
        Keys of the rows.
    batches : callable
        ``batches(positions)`` yields the batches that encode the rows at these positions of ``keys``. A batch that
        another process has stored by the time when it would be encoded is skipped.

    Returns
    -------
    numpy.ndarray of float32, shape (len(keys), columns)

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    with _errors_in_one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _read_or_encode(path, keys, batches)
        except sqlite3.OperationalError:  # such as a full disk, where deleting the file would not help
            raise
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            return _read_or_encode(path, keys, batches)


def report(noun: str, total: int) -> Callable[[int], None]:
    """Make a function that writes progress to standard error, from time to time.

    Parameters
    ----------
    noun : str
        What is done, such as ``"images for ENCODER"``.
    total : int

    Returns
    -------
    callable
        To be called with the number that is done.
    """
    start = time.monotonic()
    due = start + QUIET_SECONDS

    def show(done: int) -> None:
        nonlocal due
        now = time.monotonic()
        left = (now - start) / done * (total - done)
        if now >= due and left > QUIET_SECONDS:
            due = now + REPORT_SECONDS
            sys.stderr.write(f"encoded {done:,} of {total:,} {noun}, about {left:.0f} s left\n")

    return show


def _read_or_encode(
    path: Path, keys: Sequence[bytes], batches: Callable[[Sequence[int]], Iterable[Batch]]
) -> np.ndarray:
    # Transactions are begun explicitly, before the rows are looked up again.
    with closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as file:
        file.execute("CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID")
        stored = {key: _load(file, key) for key in keys}
        missing = {key: position for position, key in enumerate(keys) if stored[key] is None}
        if missing:
            for batch_keys, encode in batches(sorted(missing.values())):
                with _transaction(file):
                    if any(_load(file, key) is None for key in batch_keys):
                        rows = zip(batch_keys, encode(), strict=True)
                        packed = [(key, _pack(key, features)) for key, features in rows]
                        file.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", packed)
                stored.update((key, _load(file, key)) for key in batch_keys)
    return np.stack([np.asarray(stored[key], dtype=np.float32) for key in keys])


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock; what was written is undone by any exception."""
    file.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        file.execute("ROLLBACK")
        raise
    file.execute("COMMIT")


def _load(file: sqlite3.Connection, key: bytes) -> np.ndarray | None:
    """Features of a row; None if it is not stored or damaged."""
    row = file.execute("SELECT content FROM features WHERE key = ?", (key,)).fetchone()
    content: bytes = row[0] if row and isinstance(row[0], bytes) else b""
    features = content[4:]
    if not features or len(features) % 4 or content != _checksum(key, features) + features:
        return None
    return np.frombuffer(features, dtype="<f4")


def _pack(key: bytes, features: np.ndarray) -> bytes:
    content = features.astype("<f4").tobytes()
    return _checksum(key, content) + content


def _checksum(key: bytes, features: bytes) -> bytes:
    return zlib.crc32(key + features).to_bytes(4, "little")


@contextmanager
def _errors_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"cannot keep features in {path}: {reason}; set DVBENCH_CACHE to a folder with space that you can write to"
        ) from error
