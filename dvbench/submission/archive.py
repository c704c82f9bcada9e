"""Reads an untrusted zip archive. Sizes, counts and names that the archive declares are checked.

Features of zip archives that a bundle does not need are refused: links, encryption, comments, several disks, the 64-bit
format, entries that overlap. Archives of ``dvbench submit`` have none of these.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from dvbench.errors import UserError, one_line, plain
from dvbench.submission.paths import FOLDER, MOST_BYTES, MOST_FILES, Files, limit_of

END = struct.Struct("<4s4H2LH")  # the end record: signature, four counts, size and offset of the directory, comment
LOCATOR = b"PK\x06\x07"  # of the 64-bit format, before the end record
LOCATOR_SIZE = 20
HEADER = 30  # bytes of a local header without name and extra field
UNUSUAL = 0x1 | 0x20 | 0x40 | 0x2000  # encrypted, patch data, strongly encrypted, masked headers
MSDOS_FOLDER = 0x10
DIRECTORY = MOST_FILES * 512


@contextmanager
def archived_files(path: Path) -> Iterator[Files]:
    """Open an archive and check its entries; nothing is unpacked before it is read.

    Parameters
    ----------
    path : Path

    Yields
    ------
    dict of str to callable
        For the path of each file a function that reads it; the argument is the largest size in bytes.

    Raises
    ------
    UserError
        If the file is not a zip archive, is damaged or too large, or has an entry that does not belong to a bundle.
        The functions raise it if the file is damaged or too large.
    """
    with ExitStack() as stack:
        with _errors_in_one_line():
            file = stack.enter_context(path.open("rb"))
            count, start = _end(file)
            archive = stack.enter_context(zipfile.ZipFile(file))
            entries = _files(archive.infolist(), count, start)
        yield {entry.orig_filename: partial(_read, archive, entry) for entry in entries}


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror or plain(error)}") from error
    except Exception as error:  # zipfile raises many kinds of errors for damaged archives
        raise UserError(f"it is not a zip archive, or is damaged: {one_line(error)}") from error


def _end(file: BinaryIO) -> tuple[int, int]:
    """Read the end record: the number of entries, and the start of the directory, which must reach to it."""
    size = file.seek(0, 2)
    if size > MOST_BYTES:
        raise UserError(f"it has more than {MOST_BYTES} bytes")
    if size < END.size:
        raise UserError("it is not a zip archive")
    file.seek(-min(size, END.size + LOCATOR_SIZE), 2)
    tail = file.read()
    signature, disk, first, here, count, length, start, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise UserError("it is not a zip archive, is truncated, or has a comment; pack it with 'dvbench submit'")
    if disk or first or here != count or tail.startswith(LOCATOR) or start + length != size - END.size:
        raise UserError("it is an unusual zip archive; pack it with 'dvbench submit'")
    if count > MOST_FILES or length > DIRECTORY:
        raise UserError(f"it has more than {MOST_FILES} entries")
    return count, start


def _files(entries: list[zipfile.ZipInfo], count: int, start: int) -> list[zipfile.ZipInfo]:
    """Check all entries, and return those that are files."""
    if len(entries) != count:
        raise UserError(f"it has {len(entries)} entries and declares {count}")
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        if name.lower() in seen:
            raise UserError(f"'{plain(name)}' occurs twice")
        seen.add(name.lower())
        _check_kind(entry, name)
    _check_apart(entries, start)
    return [entry for entry in entries if not entry.is_dir()]


def _check_kind(entry: zipfile.ZipInfo, name: str) -> None:
    shown, mode = plain(name), entry.external_attr >> 16
    if entry.is_dir():
        if entry.filename != name or not FOLDER.fullmatch(name) or entry.file_size:
            raise UserError(f"'{shown}' is not a folder of a bundle")
    elif entry.filename != name or limit_of(name) is None:
        raise UserError(
            f"'{shown}' is not a file of a bundle, which has only submissions/*.json and the files of cells"
        )
    usual = stat.S_IFDIR if entry.is_dir() else stat.S_IFREG
    if stat.S_IFMT(mode) not in (0, usual) or (not entry.is_dir() and entry.external_attr & MSDOS_FOLDER):
        raise UserError(f"'{shown}' is a link or another special file")
    if entry.flag_bits & UNUSUAL:
        raise UserError(f"'{shown}' is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            f"'{shown}' is compressed by method {entry.compress_type}; only stored and deflated files are allowed"
        )


def _check_apart(entries: list[zipfile.ZipInfo], start: int) -> None:
    """Refuse entries that overlap: with these, a small archive can unpack to very many bytes."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    ends = [entry.header_offset + HEADER + len(entry.orig_filename) + entry.compress_size for entry in ordered]
    begins = [*(entry.header_offset for entry in ordered[1:]), start]
    for entry, end, begin in zip(ordered, ends, begins, strict=True):
        if end > begin:
            raise UserError(f"'{plain(entry.orig_filename)}' overlaps another entry")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    name = entry.orig_filename
    with _errors_in_one_line(), archive.open(entry) as file:
        content = file.read(limit + 1)  # the declared size can be wrong
    if len(content) > limit:
        raise UserError(f"'{name}' has more than {limit} bytes")
    if len(content) != entry.file_size:
        raise UserError(f"'{name}' has {len(content)} bytes and declares {entry.file_size}")
    return content
