"""Writes the bundles of ``refused/``: each has one thing in it that a bundle may not have, and is named for it.

``python tests/submission/make_refused.py`` writes those that are not there; delete one to have it made anew.
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from made_up_bundles import (
    SUBMISSION,
    TITLE,
    Files,
    made_up_files,
    relisted,
    result_path,
    with_result,
    with_submission,
    with_values,
)

from dvbench.submission.pack import zipped

FOLDER = Path(__file__).parent / "refused"
NO_FILE = "is not a file of a bundle"


class Fault(NamedTuple):
    message: str
    make: Callable[[Files], bytes]


FAULTS: dict[str, Fault] = {}


def packed(files: Files) -> bytes:
    """An archive of the same names with next to nothing in them: enough for what is found before a file is opened."""
    return zipped(dict.fromkeys(files, b"{}"))


def fault(name: str, message: str) -> Callable[[Callable[[Files], bytes]], Callable[[Files], bytes]]:
    def register(make: Callable[[Files], bytes]) -> Callable[[Files], bytes]:
        FAULTS[name] = Fault(message, make)
        return make

    return register


def files_fault(name: str, message: str, make: Callable[[Files], Files]) -> None:
    FAULTS[name] = Fault(message, lambda files: zipped(make(files)))


def entry_fault(name: str, message: str, entry: str, content: bytes = b"", **attributes: object) -> None:
    """A whole bundle with one more entry; attributes are those of `zipfile.ZipInfo`."""

    def make(files: Files) -> bytes:
        buffer = io.BytesIO(packed(files))
        with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            info = zipfile.ZipInfo(entry)
            info.filename = entry  # as it is, whatever ZipInfo makes of it
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, content)
        return buffer.getvalue()

    FAULTS[name] = Fault(message, make)


def patched(content: bytes, name: str, offset: int, value: bytes, local: bool = True) -> bytes:
    """Overwrite bytes of an entry's record in the directory, and of its local header, which lies two bytes lower."""
    data = bytearray(content)
    record = data.index(name.encode(), data.rindex(b"PK\x03\x04")) - 46
    while data[record : record + 4] != b"PK\x01\x02":
        record = data.index(name.encode(), record + 47) - 46
    data[record + offset : record + offset + len(value)] = value
    if local:
        header = struct.unpack_from("<L", data, record + 42)[0]
        data[header + offset - 2 : header + offset - 2 + len(value)] = value
    return bytes(data)


CELL = f"quick/p/{TITLE}/seed-0"

# What is no archive, or an unusual one.
FAULTS["empty"] = Fault("it is not a zip archive", lambda _: b"")
FAULTS["text"] = Fault("it is not a zip archive", lambda _: b"Dear maintainers, the results are in the attachment.")
FAULTS["cut-short"] = Fault("truncated", lambda files: packed(files)[:-200])
FAULTS["something-before"] = Fault("unusual zip archive", lambda files: b"#!/bin/sh\n" + packed(files))
FAULTS["something-after"] = Fault("truncated, or has a comment", lambda files: packed(files) + b"more")
FAULTS["gzip"] = Fault("it is not a zip archive", lambda _: b"\x1f\x8b\x08" + bytes(40))


@fault("comment", "has a comment")
def comment(files: Files) -> bytes:
    buffer = io.BytesIO(packed(files))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"mine"
    return buffer.getvalue()


@fault("end-record-in-the-comment", "unusual zip archive")
def two_ends(files: Files) -> bytes:
    buffer = io.BytesIO(packed(files))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18)
    return buffer.getvalue()


@fault("64-bit", "unusual zip archive")
def locator(files: Files) -> bytes:
    content = packed(files)
    return content[:-42] + b"PK\x06\x07" + content[-38:]


@fault("several-disks", "unusual zip archive")
def disks(files: Files) -> bytes:
    content = bytearray(packed(files))
    content[-18:-16] = b"\x01\x00"
    return bytes(content)


@fault("wrong-count", "entries and declares 6")
def count(files: Files) -> bytes:
    content = bytearray(packed(files))
    content[-14:-10] = struct.pack("<HH", 6, 6)
    return bytes(content)


@fault("entry-beyond-the-end", "damaged|overlaps")
def beyond(files: Files) -> bytes:
    return patched(packed(files), SUBMISSION, 42, struct.pack("<L", 2**31), local=False)


# Names.
entry_fault("absolute-path", NO_FILE, "/tmp/submission.json")
entry_fault("parent-folder", NO_FILE, f"../{SUBMISSION}")
entry_fault("parent-folder-inside", NO_FILE, f"quick/../../p/{TITLE}/seed-0/result.json")
entry_fault("folder-above", "is not a folder of a bundle", "../")
entry_fault("backslash", NO_FILE, f"quick\\p\\{TITLE}\\seed-0\\result.json")
entry_fault("drive-letter", NO_FILE, f"C:/{SUBMISSION}")
entry_fault("null-byte", "not a file of a bundle|damaged", f"{CELL}/result.json\0.py")
entry_fault("line-break", NO_FILE, f"{CELL}/result.json\n")
entry_fault("terminal-escape", r"'\?\]0;mine", "\x1b]0;mine\x07")
entry_fault("letters-of-another-script", NO_FILE, CELL.replace("quick", "quiсk") + "/result.json")
entry_fault("pickle", NO_FILE, f"{CELL}/values.pkl")
entry_fault("script", NO_FILE, "mine.py")
entry_fault("plan", NO_FILE, "quick/plan.json")
entry_fault("record-of-verification", NO_FILE, f"verified/quick/{TITLE}.json")
entry_fault("hidden-file", NO_FILE, ".gitattributes")
entry_fault("leading-zero", NO_FILE, f"quick/p/{TITLE}/seed-00/result.json")
entry_fault("endless-seed", NO_FILE, f"quick/p/{TITLE}/seed-{'9' * 60}/result.json")
entry_fault("same-name-twice", "occurs twice", SUBMISSION, b"{}")
entry_fault("same-name-in-capitals", "occurs twice", SUBMISSION.replace("loose", "LOOSE"), b"{}")

# Kinds.
entry_fault("link", "is a link", f"{CELL}/result.json", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16)
entry_fault(
    "pipe", "is a link or another special file", f"{CELL}/result.json", external_attr=(stat.S_IFIFO | 0o644) << 16
)
entry_fault("folder-as-file", "is a link or another special file", f"{CELL}/result.json", external_attr=0x10)
entry_fault("folder-with-content", "is not a folder of a bundle", "quick/", b"content")
entry_fault("bzip2", "is compressed by method 12", f"{CELL}/values.npy", b"a", compress_type=zipfile.ZIP_BZIP2)
entry_fault("lzma", "is compressed by method 14", f"{CELL}/values.npy", b"a", compress_type=zipfile.ZIP_LZMA)
FAULTS["encrypted"] = Fault("is encrypted", lambda files: patched(packed(files), SUBMISSION, 8, b"\x01\x00"))

# Contents that are not what they are said to be.
files_fault("bomb", "has more than 2097152 bytes", lambda files: _bomb(files))
FAULTS["wrong-checksum"] = Fault(
    "or is damaged: Bad CRC", lambda files: patched(packed(files), SUBMISSION, 16, bytes(4))
)


def _bomb(files: Files) -> Files:
    return relisted({**files, result_path(files): bytes(2**21 + 1)})


@fault("bomb-that-says-it-is-small", "or is damaged: Bad CRC")
def too_small(files: Files) -> bytes:
    return patched(zipped(_bomb(files)), result_path(files), 24, struct.pack("<L", 100))


files_fault(
    "results-that-are-large-together",
    "result files have more than 262144 bytes on average",
    lambda files: _large_results(files),
)
files_fault(
    "submission-that-is-large", "has more than 4194304 bytes", lambda files: {**files, SUBMISSION: b" " * (2**22 + 1)}
)


def _large_results(files: Files) -> Files:
    paths = [path for path in files if path.endswith("result.json")]
    return relisted({**files, **{path: files[path] + b" " * 2**19 for path in paths}})


@fault("longer-than-it-is", "bytes and declares")
def longer(files: Files) -> bytes:
    return patched(packed(files), SUBMISSION, 24, struct.pack("<L", 3))


@fault("entries-that-overlap", "overlaps another entry")
def overlapping(files: Files) -> bytes:
    content = packed(files)
    first, second = (f"{result_path(files, position)[:-11]}values.npy" for position in (0, 1))
    header = struct.unpack_from("<L", content, content.rindex(first.encode()) - 4)[0]
    return patched(content, second, 42, struct.pack("<L", header), local=False)


@fault("another-name-in-the-local-header", "or is damaged: File name in directory")
def renamed(files: Files) -> bytes:
    content = packed(files)
    return content.replace(SUBMISSION.encode(), SUBMISSION.replace("loose", "close").encode(), 1)


# JSON.
def json_fault(name: str, message: str, text: bytes, path: str = SUBMISSION) -> None:
    files_fault(name, message, lambda files: {**files, path: text})


json_fault("deep-json", "nested too deeply", b"[" * 100_000 + b"]" * 100_000)
json_fault("endless-number", "is too large", b'{"schema_version": ' + b"9" * 5000 + b"}")
json_fault("number-beyond-all", "1e999 is too large", b'{"schema_version": 1e999}')
json_fault("no-utf-8", "is not valid JSON", b'{"evaluator": "\xff"}')
json_fault("no-json", "is not valid JSON", b"evaluator: mine")
json_fault("key-twice", "a key occurs twice", b'{"evaluator": "a", "evaluator": "b"}')
json_fault("no-object", "is not a submission", b"[]")
json_fault("key-that-does-not-exist", "unknown key", b'{"\\u001b[2J": 1}')
files_fault(
    "half-a-character", "Invalid JSON: unexpected end of hex escape", lambda files: _about(files, "name", "\ud800")
)
files_fault("line-break-in-a-name", "only printable characters", lambda files: _about(files, "name", "a\nb"))
files_fault("right-to-left", "only printable characters", lambda files: _about(files, "name", "a\u202eb"))
files_fault("link-that-runs", "a link is https://", lambda files: _about(files, "code", "javascript:alert(1)"))
files_fault("not-a-number", "NaN is not a number", lambda files: _params(files, float("nan")))
files_fault("infinity", "Infinity is not a number", lambda files: _params(files, float("inf")))
files_fault("not-a-number-in-a-score", "NaN is not a number", lambda files: _score(files, float("nan")))
files_fault("number-too-large-in-a-score", "1e999 is too large", lambda files: _in_result(files, b"0.5", b"1e999"))
files_fault("deep-parameters", "is not a submission", lambda files: _params(files, _deep(400)))


def _about(files: Files, field: str, text: str) -> Files:
    return with_submission(files, lambda said: said["about"].update({field: text}))


def _params(files: Files, value: object) -> Files:
    return with_submission(files, lambda said: said["plans"][0]["cells"][0]["evaluator"].update(params={"k": value}))


def _score(files: Files, value: float) -> Files:
    return with_result(files, lambda said: next(iter(said["scores"].values()))["metrics"].update(more=value))


def _in_result(files: Files, old: bytes, new: bytes) -> Files:
    path = result_path(files)
    return relisted({**files, path: files[path].replace(old, new, 1)})


def _deep(levels: int) -> object:
    inner: object = 1
    for _ in range(levels):
        inner = [inner]
    return inner


# What does not fit together.
files_fault("no-submission", "has 0 files submissions", lambda files: _without(files, SUBMISSION))
files_fault("two-submissions", "has 2 files submissions", lambda files: {**files, "submissions/b.json": b"{}"})
files_fault("no-cells", "it has no results", lambda files: relisted({SUBMISSION: files[SUBMISSION]}))
files_fault("submission-of-another", "is the submission of other", lambda files: _renamed(files))
files_fault("file-not-listed", "is not listed in", lambda files: {**files, f"{CELL}/repeat.npy": b""})
files_fault("file-missing", r"is missing \(1 missing in all\)", lambda files: _without(files, result_path(files, 1)))
files_fault("altered-file", "does not have the SHA-256", lambda files: {**files, result_path(files): b"{}"})
files_fault(
    "cell-without-a-result", "has no result.json", lambda files: relisted(_without(files, result_path(files, 1)))
)
files_fault("cell-that-is-not-planned", "seed-7': it is not planned", lambda files: _unplanned(files))
files_fault("cell-of-another-evaluator", "is not a cell of loose_mine.Mine", lambda files: _moved(files, "knn_shapley"))
files_fault("result-of-another-cell", "is the result of another cell", lambda files: _swapped(files))
files_fault("no-result", "is not a result", lambda files: relisted({**files, result_path(files): b"{}"}))
files_fault(
    "array-not-described",
    "lists the arrays",
    lambda files: relisted({**files, result_path(files).replace("result.json", "repeat.npy"): b"\x93NUMPY"}),
)
files_fault(
    "described-array-missing",
    "lists the arrays",
    lambda files: relisted(_without(files, result_path(files).replace("result.json", "values.npy"))),
)
files_fault(
    "failed-with-values",
    "neither arrays nor scores",
    lambda files: with_result(files, lambda said: said.update(status="failed", error="boom", scores={})),
)


def _without(files: Files, path: str) -> Files:
    return {name: content for name, content in files.items() if name != path}


def _renamed(files: Files) -> Files:
    return with_submission(files, lambda said: said.update(evaluator="other"))


def _moved(files: Files, evaluator: str) -> Files:
    def change(said) -> None:
        said["cell"]["key"]["evaluator"] = evaluator

    path = result_path(files)
    folder = path.removesuffix("result.json")
    changed = with_result(files, change)
    moved = {name.replace(TITLE, evaluator) if name.startswith(folder) else name: changed[name] for name in changed}
    return relisted(moved)


def _unplanned(files: Files) -> Files:
    """An empty file in the folder of a cell that no plan has: it is not opened."""
    return relisted({**files, result_path(files).replace("seed-0", "seed-7"): b""})


def _swapped(files: Files) -> Files:
    one, other = result_path(files, 0), result_path(files, 1)
    return relisted({**files, one: files[other], other: files[one]})


files_fault(
    "failed-score-with-curves",
    "a failed score has an error, and neither metrics nor curves",
    lambda files: with_result(files, lambda said: next(iter(said["scores"].values())).update(error="boom")),
)
files_fault(
    "very-many-metrics",
    "Dictionary should have at most 1000 items",
    lambda files: with_result(files, lambda said: _many(next(iter(said["scores"].values())))),
)


def _many(score: Any) -> None:
    score["metrics"] |= {f"m{number}": 1.0 for number in range(1000)}


# Arrays.
def header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def values_fault(name: str, message: str, values: bytes | np.ndarray, length: int | None = None) -> None:
    files_fault(name, message, lambda files: with_values(files, values, length=length))


values_fault("pickled-values", "is not a plain array", np.array([print] * 100, dtype=object))
values_fault("values-of-objects-in-the-header", "is not a plain array", header("(100,)", "'|O'") + b"cos\nsystem\n.")
values_fault("endless-values", "is not a plain array", header(f"({10**15},)") + bytes(800))
values_fault("code-in-the-header", "is not a plain array", header("__import__('os').abort()") + bytes(800))
values_fault("too-few-values", "has 99 numbers for 100 players", np.zeros(99))
values_fault("no-values", "is not a plain array", b"")
values_fault("values-that-are-no-numbers", "does not hold 100 finite numbers", np.full(100, np.nan))
values_fault("values-in-single-precision", "does not hold 100 finite numbers", np.zeros(100, dtype=np.float32))
values_fault("values-in-a-table", "does not hold 100 finite numbers", np.zeros((100, 1)), length=100)
values_fault("values-of-very-many-players", "has more than 1824 bytes", np.zeros(2**18))
values_fault("values-of-another-length", "does not hold 100 finite numbers", np.zeros(98), length=100)


def small() -> Files:
    """A whole bundle whose plan is short: it has two cells, and is compared with the suite later."""

    def shorten(said: Any) -> None:
        said["plans"][0].update(cells=said["plans"][0]["cells"][:2], description="Two cells.")

    return with_submission(made_up_files(), shorten)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in FAULTS.items():
        path = FOLDER / f"{name}.zip"
        if not path.exists():
            path.write_bytes(made.make(small()))


if __name__ == "__main__":
    main()
