"""Unpacks a zip archive that somebody else made. Nothing that it says of itself is believed.

What zip archives can do besides holding files is refused rather than handled: links, encryption, comments, several
disks, the 64-bit format, entries that share bytes. What is packed by ``dvbench submit`` has none of it.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dvbench.errors import UserError
from dvbench.submission.paths import FOLDER, MOST_BYTES, MOST_FILES, limit_of
from dvbench.submission.plain_text import plain

END = struct.Struct("<4s4H2LH")  # the end record: signature, four counts, size and offset of the directory, comment
LOCATOR = b"PK\x06\x07"  # of the 64-bit format, before the end record
LOCATOR_SIZE = 20
HEADER = 30  # bytes of a local header without name and extra field
UNUSUAL = 0x1 | 0x20 | 0x40 | 0x2000  # encrypted, patch data, strongly encrypted, masked headers
MSDOS_FOLDER = 0x10
DIRECTORY = MOST_FILES * 512


def unpack(path: Path, into: Path) -> None:
    """Unpack an archive into an empty folder.

    Parameters
    ----------
    path : Path
    into : Path
        Where it is written; nothing is written elsewhere.

    Raises
    ------
    UserError
        If it is no archive, is damaged, is too large, or has anything in it that a bundle has not.
    """
    try:
        with path.open("rb") as file:
            count, start = _end(file)
            with zipfile.ZipFile(file) as archive:
                _write(archive, _files(archive.infolist(), count, start), into)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror or plain(error)}") from error
    except Exception as error:  # whatever a file that somebody else made brings about
        raise UserError(f"it is no zip archive, or a damaged one: {plain(error) or type(error).__name__}") from error


def _end(file: BinaryIO) -> tuple[int, int]:
    """How many entries the end record counts, and where the directory begins, which must fill what is between."""
    size = file.seek(0, 2)
    if size > MOST_BYTES:
        raise UserError(f"it has more than {MOST_BYTES} bytes")
    if size < END.size:
        raise UserError("it is no zip archive")
    file.seek(-min(size, END.size + LOCATOR_SIZE), 2)
    tail = file.read()
    signature, disk, first, here, count, length, start, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise UserError("it is no zip archive, is cut short, or has a comment; pack it with 'dvbench submit'")
    if disk or first or here != count or tail.startswith(LOCATOR) or start + length != size - END.size:
        raise UserError("it is an unusual zip archive; pack it with 'dvbench submit'")
    if count > MOST_FILES or length > DIRECTORY:
        raise UserError(f"it has more than {MOST_FILES} entries")
    return count, start


def _files(entries: list[zipfile.ZipInfo], count: int, start: int) -> list[zipfile.ZipInfo]:
    """The entries that are files, all of which are found to be in order."""
    if len(entries) != count:
        raise UserError(f"it has {len(entries)} entries and says {count}")
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        if name.lower() in seen:
            raise UserError(f"'{plain(name)}' is there twice")
        seen.add(name.lower())
        _check_kind(entry, name)
    _check_apart(entries, start)
    return [entry for entry in entries if not entry.is_dir()]


def _check_kind(entry: zipfile.ZipInfo, name: str) -> None:
    shown, mode = plain(name), entry.external_attr >> 16
    if entry.is_dir():
        if entry.filename != name or not FOLDER.fullmatch(name) or entry.file_size:
            raise UserError(f"'{shown}' is no folder of a bundle")
    elif entry.filename != name or limit_of(name) is None:
        raise UserError(f"'{shown}' is no file of a bundle; it has submissions/*.json and the files of cells only")
    usual = stat.S_IFDIR if entry.is_dir() else stat.S_IFREG
    if stat.S_IFMT(mode) not in (0, usual) or (not entry.is_dir() and entry.external_attr & MSDOS_FOLDER):
        raise UserError(f"'{shown}' is a link, or something else that is no plain file")
    if entry.flag_bits & UNUSUAL:
        raise UserError(f"'{shown}' is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"'{shown}' is packed by method {entry.compress_type}; only stored and deflated files are read")


def _check_apart(entries: list[zipfile.ZipInfo], start: int) -> None:
    """Refuse entries that share bytes: few can then unpack to very many."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    ends = [entry.header_offset + HEADER + len(entry.orig_filename) + entry.compress_size for entry in ordered]
    begins = [*(entry.header_offset for entry in ordered[1:]), start]
    for entry, end, begin in zip(ordered, ends, begins, strict=True):
        if end > begin:
            raise UserError(f"'{plain(entry.orig_filename)}' overlaps with something else")


def _write(archive: zipfile.ZipFile, files: list[zipfile.ZipInfo], into: Path) -> None:
    total = 0
    for name, content in _contents(archive, files):
        total += len(content)
        if total > MOST_BYTES:
            raise UserError(f"it unpacks to more than {MOST_BYTES} bytes")
        place = into / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _contents(archive: zipfile.ZipFile, files: list[zipfile.ZipInfo]) -> Iterator[tuple[str, bytes]]:
    for entry in files:
        name = entry.orig_filename
        limit = limit_of(name) or 0
        with archive.open(entry) as file:
            content = file.read(limit + 1)  # no more is unpacked, whatever size is declared
        if len(content) > limit:
            raise UserError(f"'{name}' has more than {limit} bytes")
        if len(content) != entry.file_size:
            raise UserError(f"'{name}' has {len(content)} bytes and says {entry.file_size}")
        yield name, content
