"""The cache of features: each row is encoded once, by whichever process comes first, and damage is repaired."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from dvbench.errors import UserError
from dvbench.problems import feature_cache
from dvbench.problems.feature_cache import Batch, read_or_encode, report

KEYS = [bytes([number]) * 32 for number in range(10)]


class Halves:
    """Encodes key k as (k, k / 2), three rows in a batch, and counts what it encodes."""

    def __init__(self, keys: Sequence[bytes] = KEYS, seconds: float = 0.0, dies_at: int | None = None) -> None:
        self.keys, self.seconds, self.dies_at = list(keys), seconds, dies_at
        self.encoded: list[int] = []

    def __call__(self, positions: Sequence[int]) -> Iterable[Batch]:
        for start in range(0, len(positions), 3):
            keys = [self.keys[position] for position in positions[start : start + 3]]

            def encode(keys: list[bytes] = keys) -> np.ndarray:
                time.sleep(self.seconds)
                numbers = [key[0] for key in keys]
                if self.dies_at in numbers:
                    raise KeyboardInterrupt
                self.encoded += numbers
                return np.array([[number, number / 2] for number in numbers], dtype=np.float32)

            yield keys, encode


def never(positions: Sequence[int]) -> Iterable[Batch]:
    raise AssertionError(f"{positions} should be in the file")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features" / "one.sqlite"


def halves(keys: Sequence[bytes] = KEYS) -> list[list[float]]:
    return [[key[0], key[0] / 2] for key in keys]


def test_what_is_stored_is_not_encoded_again(path: Path) -> None:
    first = Halves(KEYS[:4])
    assert read_or_encode(path, KEYS[:4], first).tolist() == halves(KEYS[:4])
    more = Halves()
    features = read_or_encode(path, KEYS, more)
    assert features.tolist() == halves()
    assert features.dtype == np.float32
    assert (first.encoded, more.encoded) == ([0, 1, 2, 3], [4, 5, 6, 7, 8, 9])
    assert read_or_encode(path, KEYS[::-1], never).tolist() == halves(KEYS[::-1])


def test_equal_rows_are_encoded_once(path: Path) -> None:
    keys = [KEYS[3], KEYS[1], KEYS[3], KEYS[3]]
    encoder = Halves(keys)
    assert read_or_encode(path, keys, encoder).tolist() == halves(keys)
    assert sorted(encoder.encoded) == [1, 3]


def test_writers_at_the_same_time_share_the_work(path: Path) -> None:
    encoders = [Halves(seconds=0.02) for _ in range(4)]
    results: list[list[list[float]]] = []
    threads = [
        threading.Thread(target=lambda encoder=encoder: results.append(read_or_encode(path, KEYS, encoder).tolist()))
        for encoder in encoders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [halves()] * 4
    assert sorted(number for encoder in encoders for number in encoder.encoded) == list(range(10))


def test_an_interrupted_writer_keeps_the_batches_that_were_complete(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        read_or_encode(path, KEYS, Halves(dies_at=7))
    again = Halves()
    assert read_or_encode(path, KEYS, again).tolist() == halves()
    assert again.encoded == [6, 7, 8, 9]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE features SET content = substr(content, 1, length(content) - 1)",
        "UPDATE features SET content = zeroblob(length(content))",
        "UPDATE features SET content = x''",
        "UPDATE features SET content = 'text'",
    ],
)
def test_a_damaged_row_is_made_again(path: Path, damage: str) -> None:
    read_or_encode(path, KEYS, Halves())
    with sqlite3.connect(path) as file:
        file.execute(f"{damage} WHERE key = ?", (KEYS[4],))
    file.close()
    again = Halves()
    assert read_or_encode(path, KEYS, again).tolist() == halves()
    assert again.encoded == [4]
    assert read_or_encode(path, KEYS, never).tolist() == halves()


def test_the_features_of_another_row_are_not_taken(path: Path) -> None:
    read_or_encode(path, KEYS, Halves())
    with sqlite3.connect(path) as file:
        file.execute("UPDATE features SET content = (SELECT content FROM features WHERE key = ?)", (KEYS[2],))
    file.close()
    assert read_or_encode(path, KEYS, Halves()).tolist() == halves()


@pytest.mark.parametrize(
    "content", [b"no database at all, but text that is long enough to be read", b"SQLite format 3\0" * 9]
)
def test_a_damaged_file_is_made_again(path: Path, content: bytes) -> None:
    read_or_encode(path, KEYS, Halves())
    path.write_bytes(content)
    assert read_or_encode(path, KEYS, Halves()).tolist() == halves()
    assert read_or_encode(path, KEYS, never).tolist() == halves()


def test_a_truncated_file_is_made_again(path: Path) -> None:
    keys = [number.to_bytes(32, "big") for number in range(2000)]

    def zeros(positions: Sequence[int]) -> Iterable[Batch]:
        yield [keys[position] for position in positions], lambda: np.zeros((len(positions), 9), dtype=np.float32)

    read_or_encode(path, keys, zeros)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert read_or_encode(path, keys, zeros).shape == (2000, 9)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot keep features in .*file.*; set DVBENCH_CACHE to a folder") as caught:
        read_or_encode(tmp_path / "file" / "one.sqlite", KEYS, Halves())
    assert "\n" not in str(caught.value)


def test_progress_is_written_for_long_work_only(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 2.0, 6.0, 8.0, 40.0, 79.0])
    monkeypatch.setattr(feature_cache.time, "monotonic", lambda: next(clock))
    show = report("images with a net", 8000)
    for done in (200, 600, 800, 4000, 7900):  # too early, shown, too soon after, shown, and nearly done
        show(done)
    lines = ["600 of 8,000 images with a net, about 74 s left", "4,000 of 8,000 images with a net, about 40 s left"]
    assert capfd.readouterr() == ("", "".join(f"encoded {line}\n" for line in lines))
