"""Takes cells of a results folder into a folder of one's own, with the same care as from an archive."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from dvbench.errors import UserError
from dvbench.submission.paths import MOST_BYTES, MOST_FILES, NAME, limit_of
from dvbench.submission.plain_text import plain


def take(root: Path, paths: Iterable[str], into: Path) -> None:
    """Copy files.

    Parameters
    ----------
    root : Path
        Results folder.
    paths : iterable of str
        Below it.
    into : Path
        An empty folder.

    Raises
    ------
    UserError
        If one is no file of a bundle, is a link or lies behind one, or is too large.
    """
    total = 0
    for number, path in enumerate(paths, 1):
        limit = limit_of(path)
        if limit is None:
            raise UserError(f"'{plain(path)}' is no file of a bundle; move it away")
        content = _read(root, path, limit)
        total += len(content)
        if number > MOST_FILES or total > MOST_BYTES:
            raise UserError(f"there are more than {MOST_FILES} files, or more than {MOST_BYTES} bytes")
        place = into / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def files_of(root: Path, suite: str, evaluator: str) -> list[str]:
    """Paths of all files in an evaluator's folders of a suite, in order; none is opened."""
    found = [path for path in root.glob(f"{suite}/*/{evaluator}") if path.is_dir() or path.is_symlink()]
    inside = [each for folder in found for each in (folder, *folder.rglob("*"))]
    return sorted(each.relative_to(root).as_posix() for each in inside if each.is_symlink() or not each.is_dir())


def suites_of(root: Path, evaluator: str) -> list[str]:
    """Names of the suites in which an evaluator has a folder."""
    found = {path.relative_to(root).parts[0] for path in root.glob(f"*/*/{evaluator}/seed-*")}
    return sorted(suite for suite in found if _named(suite))


def _named(suite: str) -> bool:
    return bool(re.fullmatch(NAME, suite)) and suite not in ("submissions", "verified")


def _read(root: Path, path: str, limit: int) -> bytes:
    place = root / path
    below = [parent for parent in (place, *place.parents) if parent != root and root in parent.parents]
    if any(parent.is_symlink() for parent in below):
        raise UserError(f"'{path}' is a link, or lies behind one; a bundle has plain files")
    try:
        # A pipe in its place would be waited for.
        with os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"'{path}' is no plain file")
            content = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise UserError(f"'{path}' has more than {limit} bytes")
    return content
