"""Whatever a bundle consists of, it is read or refused: nothing else comes out."""

from __future__ import annotations

import io
import json
import random
import tempfile
import warnings
import zipfile
from pathlib import Path

import fuzz_everything
import pytest
from fuzz_everything import tried
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_bundles import SUBMISSION, TITLE, Files, made_up_files, relisted, result_path, with_values
from make_refused import small

from dvbench.errors import UserError
from dvbench.submission.bundle import read_bundle
from dvbench.submission.pack import zipped

FEW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HONEST = small()
ARCHIVE = zipped(HONEST)
ALPHABET = "abC019_.-+/\\: \0\n\x1b\u202eé"
PATHS = st.sampled_from([*HONEST, "submissions/b.json", f"quick/p/{TITLE}/seed-0/repeat.npy", "../a", "/a", "a/"])
NUMBERS = st.integers() | st.floats() | st.integers(2**63, 2**70)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def read_or_refused(content: bytes) -> bool:
    """Whether it is read; anything but a refusal in one line fails the test, and so does a file elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bundle.zip")
        path.write_bytes(content)
        try:
            bundle = read_bundle(path, Path(folder, "into"))
        except UserError as error:
            message = str(error)
        else:
            message = ""
            assert all(len(bundle.store.array(result, "values")) for result in bundle.results() if result.arrays)
        finally:
            assert {each.name for each in Path(folder).iterdir()} <= {"bundle.zip", "into"}
    assert message.isprintable()
    return not message


@pytest.mark.slow
def test_bundles_of_the_other_fuzzer_are_refused_or_shown() -> None:
    """Some of those that `fuzz_everything` makes; it goes on from reading to the pages."""
    assert tried(zipped(fuzz_everything.HONEST)) == "shown"
    bundles = [fuzz_everything.bundle(random.Random(f"test-{number}")) for number in range(12)]
    assert {tried(content) for content in bundles} == {"refused", "shown"}


def test_the_honest_one_is_read() -> None:
    assert read_or_refused(ARCHIVE)
    assert read_or_refused(zipped(made_up_files(10)))


@FEW
@given(st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_bytes_that_are_altered_anywhere(changes: list[tuple[int, int]]) -> None:
    content = bytearray(ARCHIVE)
    for position, value in changes:
        content[position] = value
    read_or_refused(bytes(content))


@FEW
@given(st.data())
def test_bytes_that_are_altered_in_the_directory_or_a_header(data: st.DataObject) -> None:
    records = [position for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") for position in _places(mark)]
    content = bytearray(ARCHIVE)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.sampled_from(records)) + data.draw(st.integers(0, 45))
        content[min(position, len(content) - 1)] = data.draw(st.integers(0, 255))
    read_or_refused(bytes(content))


def _places(mark: bytes) -> list[int]:
    return [position for position in range(len(ARCHIVE)) if ARCHIVE.startswith(mark, position)]


@FEW
@given(st.integers(0, len(ARCHIVE)), st.integers(0, len(ARCHIVE)), st.binary(max_size=60))
def test_parts_that_are_cut_out_or_put_in(start: int, end: int, more: bytes) -> None:
    read_or_refused(ARCHIVE[:start] + more + ARCHIVE[end:])


@FEW
@given(
    st.lists(
        st.tuples(
            PATHS | st.text(ALPHABET, min_size=1, max_size=30),
            st.binary(max_size=40) | st.sampled_from([*HONEST.values()]),
            st.integers(0, 2**32 - 1) | st.just(0o100644 << 16),
            st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
        ),
        max_size=6,
    )
)
def test_archives_of_anything(entries: list[tuple[str, bytes, int, int]]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content, attributes, method in entries:
            info = zipfile.ZipInfo("a")
            info.filename, info.external_attr, info.compress_type = name, attributes, method
            archive.writestr(info, content)
    read_or_refused(buffer.getvalue())


def replaced(node: object, path: list[str | int], value: object) -> None:
    for step in path[:-1]:
        node = node[step]  # type: ignore[index]
    node[path[-1]] = value  # type: ignore[index]


def places(node: object, path: tuple[str | int, ...] = ()) -> list[list[str | int]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [each for key, inner in items for each in ([*path, key], *places(inner, (*path, key)))]


@pytest.mark.slow
@FEW
@given(st.data(), JSON)
@pytest.mark.parametrize("path", [SUBMISSION, result_path(HONEST)], ids=["submission", "result"])
def test_any_json_in_any_place(path: str, data: st.DataObject, value: object) -> None:
    said = json.loads(HONEST[path])
    replaced(said, data.draw(st.sampled_from(places(said))), value)
    files: Files = {**HONEST, path: json.dumps(said).encode("utf-8", "surrogatepass")}
    read_or_refused(zipped(relisted(files) if path != SUBMISSION else files))


@FEW
@given(
    JSON.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=100)
    | st.integers(1, 5000).map(b"[".__mul__)
)
def test_any_json_for_a_submission(content: bytes) -> None:
    assert not read_or_refused(zipped({**HONEST, SUBMISSION: content}))


@pytest.mark.slow
@FEW
@given(st.binary(max_size=300) | st.tuples(st.integers(0, 927), st.binary(min_size=1, max_size=4)))
def test_any_bytes_for_an_array(content: bytes | tuple[int, bytes]) -> None:
    if isinstance(content, tuple):
        position, change = content
        honest = HONEST[result_path(HONEST).replace("result.json", "values.npy")]
        content = honest[:position] + change + honest[position + len(change) :]
    read_or_refused(zipped(with_values(HONEST, content)))
