"""Files: where what can be made again is kept, and how files are written so that none is ever seen half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dvbench.errors import UserError


def cache_folder() -> Path:
    """Where what can be made again is kept: ``DVBENCH_CACHE``, or a folder in the user's own cache."""
    return Path(os.environ.get("DVBENCH_CACHE") or Path.home() / ".cache" / "dvbench")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that it is never seen half written.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    with explain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system error at a path into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose a folder you can write to") from error
