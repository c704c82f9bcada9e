"""Token files: their content, when they are made again, and that damaged files and full disks do no harm."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import numpy as np
import pytest

from dvbench.errors import UserError
from dvbench.problems import token_cache
from dvbench.problems.perplexity import PADDING
from dvbench.problems.token_cache import Passage, Request, TokenFile, token_file
from dvbench.problems.tokenizer import Vocabulary, load_vocabulary

BYTES_ONLY = 257  # tokens of a vocabulary without merges


@pytest.fixture
def vocabulary(text_mirror: Path) -> Vocabulary:
    return load_vocabulary(300)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of token files in a new cache."""
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


TEXTS = ["ab", "", "abcdefgh", "  \n", "c"]


def request(vocabulary: Vocabulary, texts: int | None = 3, length: int = 5, **origin: object) -> Request:
    return Request(origin=origin, texts=texts, length=length, vocabulary=vocabulary.sha256)


def make(vocabulary: Vocabulary, texts: int | None = 3, passages: Callable | None = None, **more: object) -> TokenFile:
    given_texts = passages or (lambda: ((text,) for text in TEXTS))
    return token_file(request(vocabulary, texts), given_texts, vocabulary, "letters", **more)  # type: ignore[arg-type]


def never() -> Iterator[Passage]:
    raise AssertionError("texts are read again")


def no_locks(*_: object, **__: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def in_full(vocabulary: Vocabulary) -> list[list[int]]:
    """Rows of TEXTS, by hand: begin-of-text token, tokens, padding."""
    encoded = vocabulary.encode_batch(["ab", "abcdefgh", "c"])
    return [([vocabulary.begin_of_text, *row] + [PADDING] * 5)[:5] for row in encoded]


def test_rows_start_with_the_begin_of_text_token_and_end_with_padding(folder: Path, text_mirror: Path) -> None:
    letters = load_vocabulary(BYTES_ONLY)  # one token for each letter
    made = make(letters)
    a = letters.encode_batch(["a"])[0][0]
    assert made.rows.tolist() == [
        [256, a, a + 1, PADDING, PADDING],
        [256, a, a + 1, a + 2, a + 3],
        [256, a + 2, PADDING, PADDING, PADDING],
    ]
    assert made.rows.dtype == np.uint16
    assert (made.record.texts, made.record.empty, made.record.tokens) == (3, 2, 7)
    assert made.record.starts == ()
    assert not made.rows.flags.writeable


def test_parts_are_encoded_separately_and_the_start_of_the_last_is_recorded(
    folder: Path, vocabulary: Vocabulary
) -> None:
    passages = [("ab", " c"), ("abcdefgh", " d"), ("x", ""), ("", " e"), ("c", " d")]
    made = make(vocabulary, None, lambda: iter(passages))
    assert (made.record.texts, made.record.empty) == (3, 2)
    for row, start, (first, last) in zip(made.rows, made.record.starts, [passages[k] for k in (0, 1, 4)], strict=True):
        parts = vocabulary.encode_batch([first, last])
        assert start == 1 + len(parts[0])
        expected = [vocabulary.begin_of_text, *parts[0], *parts[1]][:5]
        assert row.tolist() == expected + [PADDING] * (5 - len(expected))


def test_an_equal_request_does_not_read_texts_again(folder: Path, vocabulary: Vocabulary) -> None:
    first = make(vocabulary)
    again = make(vocabulary, passages=never)
    assert again.record == first.record
    np.testing.assert_array_equal(again.rows, first.rows)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".npy"]
    (path,) = folder.glob("*.npy")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem == first.record.sha256
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), first.rows)


def test_every_field_of_a_request_changes_its_key(folder: Path, vocabulary: Vocabulary) -> None:
    requests = [
        request(vocabulary),
        request(vocabulary, texts=2),
        request(vocabulary, texts=None),
        request(vocabulary, length=6),
        request(load_vocabulary(301)),
        request(vocabulary, files=[["train-0.parquet", 12, 1]]),
        request(vocabulary, files=[["train-0.parquet", 12, 2]]),
    ]
    assert len({different.key for different in requests}) == len(requests)


def test_reading_stops_at_the_number_of_texts(folder: Path, vocabulary: Vocabulary) -> None:
    def texts() -> Iterator[Passage]:
        yield from (("ab",), ("",), ("c",))
        raise AssertionError("more texts are read than asked for")

    assert make(vocabulary, 2, texts).record.empty == 1


def test_batch_sizes_do_not_change_the_file(
    folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(vocabulary)
    counts: list[int] = []
    for limit, value in (("BATCH_TEXTS", 2), ("BATCH_CHARACTERS", 1)):
        shutil.rmtree(folder)
        monkeypatch.setattr(token_cache, limit, value)
        assert make(vocabulary, progress=counts.append).record == whole.record
    assert counts == [2, 3, 1, 2, 3]


def test_too_few_texts_leave_no_file(folder: Path, vocabulary: Vocabulary) -> None:
    with pytest.raises(UserError, match=r"^letters has 3 texts that are not empty, fewer than the 4 asked for$"):
        make(vocabulary, 4)
    with pytest.raises(UserError, match=r"^letters has no text that is not empty$"):
        make(vocabulary, None, lambda: iter([("",), (" \n",)]))
    assert list(folder.iterdir()) == []


def test_a_disk_that_fills_up_while_writing(
    folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = token_cache._write_rows, []

    def fill_up(file: object, rows: np.ndarray) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(rows)
        write(file, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(token_cache, "BATCH_TEXTS", 1)
    monkeypatch.setattr(token_cache, "_write_rows", fill_up)
    with pytest.raises(
        UserError, match=r"has no space for 1 MB of tokens of letters: set DVBENCH_CACHE to a folder on"
    ):
        make(vocabulary)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(token_cache, "_write_rows", write)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


def test_free_space_is_checked_before_texts_are_read(
    folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10 * 10**6))
    with pytest.raises(UserError, match=r"has no space for 1,536 MB of tokens of letters"):
        token_file(request(vocabulary, 10**6, 768), never, vocabulary, "letters")


def test_a_cache_that_is_not_writable(tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot write tokens of letters to .*; set DVBENCH_CACHE to a folder you can"):
        make(vocabulary)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, alter, empty, Path.unlink])
def test_a_damaged_file_is_made_again(folder: Path, vocabulary: Vocabulary, damage: Callable[[Path], None]) -> None:
    make(vocabulary)
    (path,) = folder.glob("*.npy")
    damage(path)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)
    assert make(vocabulary, passages=never).rows.tolist() == in_full(vocabulary)


@pytest.mark.parametrize("damage", [truncate, empty])
def test_of_a_large_file_only_the_size_is_checked(
    folder: Path, vocabulary: Vocabulary, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "HASHED_BYTES", -1)
    make(vocabulary)
    (path,) = folder.glob("*.npy")
    damage(path)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"sha256": "../../x", "texts": 3}'])
def test_a_damaged_record_is_made_again(folder: Path, vocabulary: Vocabulary, content: str) -> None:
    make(vocabulary)
    (path,) = folder.glob("*.json")
    path.write_text(content)
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


def test_a_process_killed_between_file_and_record(
    folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(token_cache, "write_atomically", die)
        with pytest.raises(KeyboardInterrupt):
            make(vocabulary)
    assert [path.suffix for path in folder.iterdir()] == [".npy"]
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)


KILLED = """
    import os, signal
    from dvbench.problems import token_cache
    from dvbench.problems.tokenizer import load_vocabulary

    token_cache.BATCH_TEXTS = 1
    vocabulary = load_vocabulary(300)
    request = token_cache.Request(origin={}, texts=3, length=5, vocabulary=vocabulary.sha256)

    def texts():
        yield ("ab",)
        yield ("something else",)
        os.kill(os.getpid(), signal.SIGKILL)

    token_cache.token_file(request, texts, vocabulary, "letters")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_the_file_of_a_killed_process_is_not_used_and_deleted_after_a_day(folder: Path, vocabulary: Vocabulary) -> None:
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)], env={**os.environ}, check=False)
    assert run.returncode == -9
    (abandoned,) = folder.iterdir()
    assert abandoned.suffix != ".npy"
    assert make(vocabulary).rows.tolist() == in_full(vocabulary)
    assert abandoned.exists()  # another process may still be writing it
    os.utime(abandoned, (time.time() - 2 * token_cache.ABANDONED_SECONDS,) * 2)
    make(vocabulary, 2)
    assert not abandoned.exists()


def test_two_writers_of_the_same_tokens_do_not_disturb_each_other(
    folder: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    inner: list[TokenFile] = []

    def texts() -> Iterator[Passage]:
        yield ("ab",)
        inner.append(make(vocabulary))  # a second writer starts later and finishes first
        yield from ((text,) for text in TEXTS[1:])

    outer = make(vocabulary, passages=texts)
    assert outer.record == inner[0].record
    assert outer.rows.tolist() == inner[0].rows.tolist() == in_full(vocabulary)
    assert len(list(folder.iterdir())) == 2
