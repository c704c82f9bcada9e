"""Results that are too good, or too much like those of another evaluator, are remarked on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from made_up_bundles import TITLE, Files, made_up_files, result_path, with_result, with_values, write_zip

from dvbench.results import Store
from dvbench.submission.bundle import Bundle, read_bundle
from dvbench.submission.suspicions import suspicions


@pytest.fixture
def read(here: Path):
    def read(files: Files) -> Bundle:
        return read_bundle(write_zip(here / "mine.zip", files), here / "read")

    return read


def listed(bundle: Bundle, others: Store | None) -> list[str]:
    return [line for lines in suspicions(bundle, others).values() for line in lines]


@pytest.mark.parametrize(("score", "task", "remarked"), [
    (0.991, "noisy_label_detection", True),
    (0.98, "noisy_label_detection", False),
    (1.0, "point_removal", False),
])  # fmt: skip
def test_near_perfect_detection(read, score: float, task: str, remarked: bool) -> None:
    def change(said) -> None:
        metrics = said["scores"][task]["metrics"]
        metrics[next(iter(metrics))] = score

    lines = listed(read(with_result(made_up_files(2), change, 1)), None)
    assert len(lines) == remarked
    assert all(line.startswith("near-perfect detection in 1 score, such as quick/") for line in lines)
    assert all(f"({task} {score})" in line for line in lines)


def others(here: Path, files: Files, values: np.ndarray, place: int = 0) -> Store:
    store = Store(here / "published")
    path = store.root / result_path(files, place).replace(TITLE, "other").replace("result.json", "values.npy")
    path.parent.mkdir(parents=True)
    np.save(path, values)
    return store


@pytest.mark.parametrize(("noise", "line"), [
    (0.0, "its values are those of other"),
    (0.01, f"the values of {TITLE} are those of other up to noise in 1 cell, such as quick/"),
    (1.0, None),
])  # fmt: skip
def test_values_of_another_evaluator_with_noise(read, here: Path, noise: float, line: str | None) -> None:
    """Also if they are scaled and shifted, since only their order matters."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=100)
    files = with_values(made_up_files(2), values)
    store = others(here, files, values if not noise else 3 * (values + noise * rng.normal(size=100)) - 7)
    lines = listed(read(files), store)
    assert len(lines) == (line is not None)
    assert line is None or line in lines[0]


@pytest.mark.parametrize(("power", "number"), [(3, 0), (1, 1)])
def test_equal_ranks_of_few_players_are_chance(read, here: Path, power: int, number: int) -> None:
    """But equal differences are not."""
    place, values = 6, np.arange(10.0)
    files = with_values(made_up_files(10), values, place)
    assert "10subsets" in result_path(files, place)
    store = others(here, files, 2 * (values + 1e-4) ** power, place)
    assert len(listed(read(files), store)) == number


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None, "pickle", "large"])
def test_files_of_others_that_are_no_arrays(read, here: Path, content: bytes | str | None) -> None:
    files = made_up_files(2)
    store = others(here, files, np.zeros(100))
    (path,) = store.root.rglob("values.npy")
    if content is None:
        path.unlink()
        os.mkfifo(path)
    elif content == "pickle":
        np.save(path, np.array([{}] * 100, dtype=object), allow_pickle=True)
    elif content == "large":
        with path.open("r+b") as file:
            file.truncate(2**34)
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    assert listed(read(files), store) == []
