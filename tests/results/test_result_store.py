"""Results on disk: whole or not there, checked when read, and never executed."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from result_samples import sample_cell, sample_plan, sample_result

from dvbench.errors import UserError
from dvbench.results import Result, Store
from dvbench.settings import Noise

VALUES = np.array([0.1, -2.5, 1e-300, 3.0])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def written(store: Store) -> Result:
    return store.write(sample_result(), {"values": VALUES})


def place(store: Store, file: str = "result.json") -> Path:
    return store.folder(sample_cell().key) / file


def refusal(of, *arguments: object) -> str:
    with pytest.raises(UserError) as error:
        of(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_round_trip_to_the_bit(store: Store, written: Result) -> None:
    again = store.read(sample_cell().key)
    assert again == written == sample_result(arrays=written.arrays)
    assert store.array(again, "values").tobytes() == VALUES.tobytes()
    assert list(store.results("small")) == [written]


def test_a_copy_has_the_same_files_to_the_byte_and_no_others(store: Store, tmp_path: Path) -> None:
    halves = np.arange(4, dtype=np.float16)
    result = store.write(sample_result(), {"values": VALUES, "repeat": halves})
    target = Store(tmp_path / "other")
    target.write(sample_result(), {"values": -VALUES, "standard_errors": VALUES})
    assert target.copy(result, store) == result == target.read(sample_cell().key)
    theirs, ours = ({path.name: path.read_bytes() for path in place(each).parent.iterdir()} for each in (store, target))
    assert theirs == ours
    place(store, "values.npy").write_bytes(b"")
    assert "does not match the hash" in refusal(target.copy, result, store)
    assert place(target, "values.npy").read_bytes() == ours["values.npy"]


def test_the_hash_is_that_of_the_file(store: Store, written: Result) -> None:
    content = place(store, "values.npy").read_bytes()
    assert written.arrays["values"].sha256 == hashlib.sha256(content).hexdigest()
    assert written.arrays["values"].length == 4


def test_nothing_but_the_files_of_the_cell_is_left(store: Store, written: Result) -> None:
    assert sorted(path.name for path in place(store).parent.iterdir()) == ["result.json", "values.npy"]


def test_writing_again_without_arrays_keeps_them(store: Store, written: Result) -> None:
    store.write(written.model_copy(update={"scores": {}}))
    again = store.read(sample_cell().key)
    assert again is not None
    assert (again.scores, again.arrays) == ({}, written.arrays)
    np.testing.assert_array_equal(store.array(again, "values"), VALUES)


def test_arrays_of_an_earlier_result_go_with_it(store: Store, written: Result) -> None:
    with_errors = store.write(written, {"values": np.arange(3.0), "standard_errors": np.ones(3)})
    assert (store.folder(written.cell.key) / "standard_errors.npy").exists()
    store.write(with_errors, {"values": np.arange(4.0)})
    assert sorted(path.name for path in store.folder(written.cell.key).iterdir()) == ["result.json", "values.npy"]


def test_nothing_there_is_none(store: Store) -> None:
    assert store.read(sample_cell().key) is None
    assert store.plan("small") is None
    assert list(store.results("small")) == []
    assert store.suites() == []


def test_plans(store: Store) -> None:
    store.write_plan(sample_plan())
    assert store.plan("small") == sample_plan()
    assert store.suites() == ["small"]


def test_cells_of_one_problem_share_its_settings(store: Store) -> None:
    """In what is read from a file, because large plans would take much more memory."""
    cells = sample_plan().cells
    other = cells[1].model_copy(
        update={"problem": cells[1].problem.model_copy(update={"noise": Noise(kind="labels", rate=0.3)})}
    )
    written = sample_plan().model_copy(update={"cells": (*cells, other)})
    store.write_plan(written)
    read = store.plan("small")
    assert read == written
    assert read.cells[0].problem is read.cells[1].problem is not read.cells[2].problem


def test_a_wrong_cell_of_a_plan_is_refused_with_its_place(store: Store) -> None:
    store.write_plan(sample_plan())
    path = store.root / "small" / "plan.json"
    content = json.loads(path.read_text())
    content["cells"][1]["problem"]["noise"]["rate"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"cells.1.problem.noise.rate: Input should be less than 1"):
        store.plan("small")


def test_removing_a_cell(store: Store, written: Result) -> None:
    store.remove(sample_cell().key)
    store.remove(sample_cell().key)
    assert store.read(sample_cell().key) is None


# What is no result


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"some": "other file"}', b"\x93NUMPY", b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "truncated", "list", "null", "foreign", "npy", "no text", "deep"],
)
def test_a_foreign_file_is_refused_by_its_path(store: Store, written: Result, content: bytes) -> None:
    place(store).write_bytes(content)
    start = f"{place(store)} is not a result of this version of dvbench: "
    assert refusal(store.read, sample_cell().key).startswith(start)
    assert refusal(list, store.results("small")).startswith(start)


def test_a_truncated_result(store: Store, written: Result) -> None:
    whole = place(store).read_bytes()
    place(store).write_bytes(whole[: len(whole) // 2])
    assert refusal(store.read, sample_cell().key).startswith(f"{place(store)} is not a result")


def test_a_result_of_another_schema_version(store: Store, written: Result) -> None:
    place(store).write_text(json.dumps({**json.loads(place(store).read_text()), "schema_version": 3}))
    message = refusal(store.read, sample_cell().key)
    assert message == (
        f"{place(store)} is not a result of this version of dvbench: schema_version: Input should be 2; "
        "move it away, or run the suite again with --fresh"
    )


def test_a_folder_instead_of_a_result(store: Store) -> None:
    place(store).mkdir(parents=True)
    assert refusal(store.read, sample_cell().key).startswith(f"{place(store)} is not a result")


def test_a_result_moved_into_another_cell(store: Store, written: Result) -> None:
    other = store.folder(sample_cell(1).key)
    shutil.copytree(place(store).parent, other)
    message = refusal(store.read, sample_cell(1).key)
    assert message.startswith(f"{other / 'result.json'} is the result of another cell (digits-mlp-labels0.2 random")
    assert str(other / "result.json") in refusal(list, store.results("small"))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]"])
def test_a_foreign_plan(store: Store, content: bytes) -> None:
    store.write_plan(sample_plan())
    path = store.root / "small" / "plan.json"
    path.write_bytes(content)
    assert refusal(store.plan, "small").startswith(f"{path} is not a plan of dvbench: ")


# What is no array


def saved(array: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def with_array(store: Store, content: bytes, length: int = 4) -> Result:
    """A result whose values are any bytes, with the right hash, as a stranger could send it."""
    result = store.write(sample_result(), {"values": VALUES})
    place(store, "values.npy").write_bytes(content)
    array = {"sha256": hashlib.sha256(content).hexdigest(), "length": length}
    return Result.model_validate({**result.model_dump(), "arrays": {"values": array}})


def test_an_altered_array_is_noticed(store: Store, written: Result) -> None:
    path = place(store, "values.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    message = refusal(store.array, written, "values")
    assert message == f"{path} does not match the hash in result.json; run the cell again with --fresh"


def test_a_missing_array(store: Store, written: Result) -> None:
    place(store, "values.npy").unlink()
    message = refusal(store.array, written, "values")
    assert message.startswith(f"cannot read {place(store, 'values.npy')}: No such file or directory")


def test_an_array_that_is_not_named(store: Store) -> None:
    """A result that is ok and has no values is none."""
    path = place(store)
    store.write(sample_result(), {"values": VALUES})
    path.write_text(json.dumps({**json.loads(path.read_text()), "arrays": {}}))
    assert str(path) in refusal(store.read, sample_cell().key)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_never_loaded(store: Store, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    content = saved(np.array([Bomb(trace)] * 4, dtype=object), allow_pickle=True)
    np.load(io.BytesIO(content), allow_pickle=True)
    assert trace.exists()  # it would
    trace.unlink()
    for bomb in (content, pickle.dumps(Bomb(trace))):
        assert "is not a plain array" in refusal(store.array, with_array(store, bomb), "values")
        assert not trace.exists()


def an_archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, values=VALUES)
    return buffer.getvalue()


def huge() -> bytes:
    """Header that promises more numbers than any memory holds."""
    return saved(VALUES).replace(b"(4,), }".ljust(22), b"(4000000000000000,), }", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        saved(VALUES)[:-3],
        saved(np.array(["a", "b", "c", "d"])),
        saved(np.zeros(4, dtype=[("a", float)])),
        saved(VALUES + 1j),
        saved(np.zeros((2, 2))),
        saved(np.zeros(3)),
        saved(np.full(4, np.nan)),
        an_archive(),
        b"PK\x03\x04 no archive",
        huge(),
    ],
    ids=[
        "empty",
        "magic",
        "truncated",
        "text",
        "records",
        "complex",
        "2-d",
        "short",
        "nan",
        "npz",
        "bad zip",
        "huge",
    ],
)
def test_what_is_no_plain_array_of_numbers_is_refused_by_its_path(store: Store, content: bytes) -> None:
    message = refusal(store.array, with_array(store, content), "values")
    assert str(place(store, "values.npy")) in message


def test_the_samples_of_bad_arrays_are_what_they_claim() -> None:
    assert b"(4000000000000000,)" in huge()
    assert zipfile.is_zipfile(io.BytesIO(an_archive()))
