"""What is in the cache folder, and its removal. All of it can be made again; files of other names stay."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dvbench.errors import UserError, unknown
from dvbench.files import cache_folder

LIMIT = "DVBENCH_CACHE_LIMIT"
FRESH_SECONDS = 3600.0  # what was used in the last hour may be in use
SIZES = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
NAMES = {
    "checkpoints": r"checkpoints/(\.removed-\d+-)?[0-9a-f]{64}",
    "features": r"features/[0-9a-f]{64}\.sqlite",
    "tokens": r"tokens/[0-9a-f]{64}\.(json|npy)",
    "openml": r"openml/openml",
    "opendataval": r"opendataval/[\w.-]+",
    "locks": r"locks/[0-9a-f]{64}\.lock",
    "indices": r"index-[0-9]+-[0-9a-f]{32}\.sqlite",
}
"""For each kind, the path of an entry below the cache folder. SQLite may have files beside its own, of longer names."""


@dataclass(frozen=True)
class Entry:
    """A file or folder of the cache.

    Parameters
    ----------
    kind : str
        A key of `NAMES`.
    path : Path
    size : int
        Bytes.
    used : float
        When it was last read or written, in seconds since 1970.
    """

    kind: str
    path: Path
    size: int
    used: float


def entries(folder: Path | None = None) -> list[Entry]:
    """List the cache, what was used last at the end."""
    root = folder or cache_folder()
    found = []
    for path in [*root.glob("*"), *(path for kind in NAMES for path in root.glob(f"{kind}/*"))]:
        name = path.relative_to(root).as_posix()
        kind = next((kind for kind, pattern in NAMES.items() if re.fullmatch(rf"{pattern}(-\w+)?", name)), None)
        if kind is not None and not path.is_symlink():
            with suppress(FileNotFoundError):  # another process may remove it at this moment
                inside = [file for file in path.rglob("*") if file.is_file()]
                files = [file.stat() for file in inside or [path]]
                size = sum(each.st_size for each in files)
                found.append(Entry(kind, path, size, max(max(each.st_mtime, each.st_atime) for each in files)))
    return sorted(found, key=lambda entry: entry.used)


def clean(
    kinds: Collection[str] = (), older_than: float = FRESH_SECONDS, keep: float = 0.0, folder: Path | None = None
) -> list[Entry]:
    """Remove entries, those first that were not used for the longest time.

    Parameters
    ----------
    kinds : collection of str
        Keys of `NAMES`; by default all.
    older_than : float
        Entries that were used in the last so many seconds stay.
    keep : float
        Bytes that may stay: entries are removed until the others of these kinds are not larger.

    Returns
    -------
    list of Entry
        What was removed.

    Raises
    ------
    UserError
        If there is no such kind.
    """
    for kind in kinds:
        if kind not in NAMES:
            raise unknown("kind of cached file", kind, NAMES)
    chosen = [entry for entry in entries(folder) if not kinds or entry.kind in kinds]
    left, now, removed = sum(entry.size for entry in chosen), time.time(), []
    for entry in chosen:
        if left <= keep or now - entry.used < older_than:
            break
        _remove(entry.path)
        left -= entry.size
        removed.append(entry)
    return removed


def keep_within_limit() -> None:
    """Remove the oldest entries if the environment variable ``DVBENCH_CACHE_LIMIT`` is set and the cache is larger."""
    if limit := os.environ.get(LIMIT):
        clean(keep=parse_size(limit, f"{LIMIT}: "))


def parse_size(text: str, source: str = "") -> float:
    """Read a size such as ``500MB`` or ``20GB``, in bytes; ``source`` begins the message of an error.

    Raises
    ------
    UserError
        If it is something else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|TB)", text.strip().upper())
    if match is None:
        raise UserError(
            f"{source}a size is a number with a unit, KB, MB, GB or TB, such as 500MB or 20GB, not '{text}'"
        )
    return float(match[1]) * SIZES[match[2]]


def sizes(found: Iterable[Entry]) -> dict[str, tuple[int, int]]:
    """Number and bytes of entries by kind; kinds that have none are left out."""
    totals: dict[str, tuple[int, int]] = {}
    for entry in found:
        count, size = totals.get(entry.kind, (0, 0))
        totals[entry.kind] = (count + 1, size + entry.size)
    return totals


def _remove(path: Path) -> None:
    """Remove a file, or a folder in one step, so that a process that looks for it finds all of it or nothing."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(f".removed-{os.getpid()}-{path.name}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        shutil.rmtree(aside)
