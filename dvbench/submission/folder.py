"""Copies cells of an untrusted results folder, with the same checks as for an archive."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from dvbench.errors import UserError, plain
from dvbench.submission.paths import MOST_BYTES, MOST_FILES, NAME, Files, limit_of


def stored_files(root: Path, paths: Iterable[str]) -> Files:
    """Return for each of these files of a results folder a function that reads it; see `copy_files`."""
    files = {}
    for path in paths:
        if limit_of(path) is None:
            raise UserError(f"'{plain(path)}' is not a file of a bundle; move it away")
        files[path] = partial(_read, root, path)
    return files


def copy_files(root: Path, paths: Iterable[str], into: Path) -> None:
    """Copy files of a bundle from a results folder.

    Parameters
    ----------
    root : Path
        Results folder.
    paths : iterable of str
        Relative to ``root``.
    into : Path
        An empty folder.

    Raises
    ------
    UserError
        If one is not a file of a bundle, is a link or in a linked folder, or is too large.
    """
    total = 0
    for number, (path, read) in enumerate(stored_files(root, paths).items(), 1):
        content = read(limit_of(path) or 0)
        total += len(content)
        if number > MOST_FILES or total > MOST_BYTES:
            raise UserError(f"it has more than {MOST_FILES} files, or more than {MOST_BYTES} bytes")
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def files_of(root: Path, suite: str, evaluator: str) -> list[str]:
    """Return the sorted paths of all files in an evaluator's folders of a suite, without opening any."""
    folders = [path for path in root.glob(f"{suite}/*/{evaluator}") if path.is_dir() or path.is_symlink()]
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return sorted(path.relative_to(root).as_posix() for path in paths if path.is_symlink() or not path.is_dir())


def suites_of(root: Path, evaluator: str) -> list[str]:
    """Return the names of the suites in which an evaluator has a folder."""
    names = {path.relative_to(root).parts[0] for path in root.glob(f"*/*/{evaluator}/seed-*")}
    return sorted(name for name in names if _is_suite(name))


def _is_suite(name: str) -> bool:
    return bool(re.fullmatch(NAME, name)) and name not in ("submissions", "verified")


def _read(root: Path, path: str, limit: int) -> bytes:
    source = root / path
    below_root = [part for part in (source, *source.parents) if part != root and root in part.parents]
    if any(part.is_symlink() for part in below_root):
        raise UserError(f"'{path}' is a link or is in a linked folder; a bundle has only plain files")
    try:
        # Without O_NONBLOCK, opening a pipe would wait forever.
        with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"'{path}' is not a plain file")
            content = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise UserError(f"'{path}' has more than {limit} bytes")
    return content
