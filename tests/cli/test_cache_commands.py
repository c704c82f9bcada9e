"""``cache list`` and ``cache clean``, and the limit of the cache."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dvbench.cache import entries
from dvbench.problems.feature_cache import read_or_encode
from dvbench.training.checkpoints import Checkpoints, TrainingProgress

HOUR = 3600.0
HEX = "0123456789abcdef" * 4


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with features, an index and data that are 2 days old, a checkpoint of now, and files of somebody else."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DVBENCH_CACHE", str(folder))
    monkeypatch.delenv("DVBENCH_CACHE_LIMIT", raising=False)
    features = folder / "features" / f"{HEX}.sqlite"
    read_or_encode(features, [b"a"], lambda _: [([b"a"], lambda: np.ones((1, 3)))])
    index = folder / f"index-1-{HEX[:32]}.sqlite"
    index.write_bytes(b"x" * 5000)
    data = folder / "opendataval" / "challenge-iris" / "iris.csv"
    data.parent.mkdir(parents=True)
    data.write_text("1,2")
    Checkpoints(HEX[::-1]).save(TrainingProgress(1, 0.0), torch.nn.Linear(2, 2), None)
    for name in ("notes.txt", "features/mine.sqlite", "checkpoints/best/weights.bin", "index.sqlite"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("keep me")
    for path in (features, index, data):
        os.utime(path, (time.time() - 48 * HOUR,) * 2)
    return folder


def kinds() -> list[str]:
    return [entry.kind for entry in entries()]


def test_what_dvbench_writes_is_listed_and_nothing_else(cache: Path, dvbench) -> None:
    assert sorted(kinds()) == ["checkpoints", "features", "indices", "opendataval"]
    said = dvbench("cache", "list")
    assert said.code == 0
    for kind in ("checkpoints", "features", "indices", "opendataval"):
        assert kind in said.out
    assert str(cache) in said.out.replace("\n", "")


def test_what_was_used_lately_stays(cache: Path, dvbench) -> None:
    said = dvbench("cache", "clean", "--kind", "indices")
    assert (said.code, kinds()) == (0, ["features", "opendataval", "checkpoints"])
    assert "removed 1 of indices" in said.out
    dvbench("cache", "clean")
    assert kinds() == ["checkpoints"]
    assert "nothing was removed" in dvbench("cache", "clean", "--older-than", "7d").out
    dvbench("cache", "clean", "--older-than", "0.001s")
    assert kinds() == []
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == [
        "index.sqlite", "mine.sqlite", "notes.txt", "weights.bin"
    ]  # fmt: skip


def test_the_oldest_go_first_until_the_rest_is_small_enough(cache: Path, dvbench) -> None:
    whole = sum(entry.size for entry in entries())
    assert "nothing" in dvbench("cache", "clean", "--keep", "1GB").out
    assert len(kinds()) == 4
    dvbench("cache", "clean", "--keep", f"{(whole - 1) / 1e6}MB")
    assert len(kinds()) == 3


def test_a_limit_is_kept_before_a_run(cache: Path, dvbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_CACHE_LIMIT", "1KB")
    run = ("run", "tiny.toml", "--evaluator", "random", "--seeds", 0, "--jobs", 0)
    assert dvbench(*run).code == 0
    assert "checkpoints" in kinds()  # it was written a moment ago
    assert "features" not in kinds()
    monkeypatch.setenv("DVBENCH_CACHE_LIMIT", "much")
    said = dvbench(*run)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "DVBENCH_CACHE_LIMIT" in said.err


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path, dvbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVBENCH_CACHE", str(tmp_path / "none"))
    assert "0.0 MB" in dvbench("cache", "list").out
    assert "nothing was removed" in dvbench("cache", "clean").out


def test_what_is_refused(cache: Path, refused) -> None:
    assert "did you mean 'features'?" in refused("cache", "clean", "--kind", "feature")
    assert "a size is a number with a unit" in refused("cache", "clean", "--keep", "5")
    assert "a time is a number with a unit" in refused("cache", "clean", "--older-than", "soon")
    assert len(kinds()) == 4
