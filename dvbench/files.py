"""The cache folder and its locks, atomic writes of files, tables of dataclasses, and hashes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from dvbench.errors import UserError

Row = TypeVar("Row")
NOT_OURS = "exists, and no file says that dvbench made it: move it away, or write to another file"


def cache_folder() -> Path:
    """Folder for files that can be made again: ``DVBENCH_CACHE``, or ``~/.cache/dvbench`` by default."""
    return Path(os.environ.get("DVBENCH_CACHE") or Path.home() / ".cache" / "dvbench")


@contextmanager
def one_process_at_a_time(name: str) -> Iterator[None]:
    """Do something while no other process that shares the cache folder does what has the same name; wait for it first.

    The system gives up the lock of a process that dies, also on other machines. Where files cannot be locked or the
    disk is full, nobody waits: work may be done twice then, with the same result.
    """
    from filelock import FileLock

    path = cache_folder() / "locks" / f"{hashlib.sha256(name.encode()).hexdigest()}.lock"
    with ExitStack() as stack:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A lock that is the existence of a file would outlive a machine that crashes.
            stack.enter_context(FileLock(path, fallback_to_soft=False, poll_interval=0.1))
        yield


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file in the same folder, and rename it, so that no reader sees a partly written file.

    Parameters
    ----------
    path : Path
        File to create or replace. Missing parent folders are created.
    content : bytes

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    with explain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:  # with the permissions of any new file
                file.write(content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_ours(path: Path) -> dict[str, Any] | None:
    """Read a JSON file; None if it is not one in which dvbench says what it computed, and so may not be replaced."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) and "dvbench_version" in read else None


def read_rows(path: Path, kind: type[Row]) -> tuple[Row, ...]:
    """Read a CSV file that `write_rows` wrote; ``kind`` is the dataclass of its rows."""
    from pydantic import TypeAdapter

    with path.open(encoding="utf-8", newline="") as file:
        return tuple(map(TypeAdapter(kind).validate_python, csv.DictReader(file)))


def write_rows(path: Path, kind: type, rows: Iterable[Any]) -> None:
    """Write instances of a dataclass as the rows of a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_atomically(path, text.getvalue().encode())


def file_sha256(path: Path) -> str:
    """Hash the content of a file, which is not read as a whole: 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` while ``path`` is written into a `UserError` of one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose a folder you can write to") from error
