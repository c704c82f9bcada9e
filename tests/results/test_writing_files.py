"""Files are written whole or not at all, and a result that is there has its arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from result_samples import sample_cell, sample_plan, sample_result

from dvbench.errors import UserError
from dvbench.files import write_atomically
from dvbench.results import Store

VALUES = np.array([0.1, -2.5])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def refusal(of, *arguments: object) -> str:
    with pytest.raises(UserError) as error:
        of(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(params=["write", "replace"])
def _full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if request.param == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        actual = Path.open

        def open_temporary(path: Path, *how: Any, **more: Any) -> Any:
            file = actual(path, *how, **more)
            return FullFile(file) if path.name.startswith(".") else file

        monkeypatch.setattr(Path, "open", open_temporary)


class FullFile:
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __enter__(self) -> FullFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("_full_disk")
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    message = refusal(write_atomically, path, b"new and longer")
    assert message == f"cannot write {path}: No space left on device; choose a folder you can write to"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_appears_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a result that is there has its arrays."""
    written = []
    original = Path.replace

    def replace(self: Path, target: Path) -> Path:
        written.append(target.name)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    store.write(sample_result(), {"values": VALUES, "repeat": VALUES})
    assert written == ["values.npy", "repeat.npy", "result.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_file_has_the_permissions_that_the_user_gives_new_files(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("how", ["removed", "written anew"])
def test_an_interrupted_change_of_a_result_leaves_none(store: Store, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A result whose arrays are gone, or are others, would stop a run."""
    written = store.write(sample_result(), {"values": VALUES})

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if how == "removed":
        monkeypatch.setattr("dvbench.results.store.shutil.rmtree", interrupt)
    else:
        monkeypatch.setattr("dvbench.results.store.write_atomically", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.remove(written.cell.key) if how == "removed" else store.write(sample_result(), {"values": VALUES})
    assert store.read(written.cell.key) is None


def test_below_a_regular_file_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    store = Store(tmp_path / "file" / "results")
    assert store.read(sample_cell().key) is None
    for message in (
        refusal(store.write, sample_result(), {"values": VALUES}),
        refusal(store.write_plan, sample_plan()),
    ):
        assert message.startswith(f"cannot write {tmp_path / 'file' / 'results'}")
        assert message.endswith("choose a folder you can write to")
    assert (tmp_path / "file").read_bytes() == b"mine"
