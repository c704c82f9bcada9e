"""Bundles with something in them that may not be there are refused in one line, and nothing is written elsewhere."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from made_up_bundles import SUBMISSION, TITLE, made_up_files, relisted, with_result, write_zip
from make_refused import FAULTS, FOLDER

from dvbench.errors import UserError
from dvbench.results import Submission
from dvbench.submission.bundle import read_bundle
from dvbench.submission.paths import MOST_FILES

CELL = f"quick/p/{TITLE}/seed-0"


def refusal(path: Path, tmp_path: Path) -> str:
    """Why a bundle is refused; what is beside the folder that it is unpacked to stays as it was."""
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        read_bundle(path, inner)
    assert {each.relative_to(tmp_path) for each in tmp_path.rglob("*") if inner not in each.parents} <= {
        *(Path(name) for name in ("a", "a/b", "a/b/c")),
        Path(path.name),
        Path("submission.toml"),
    }
    assert not any(each.is_symlink() for each in inner.rglob("*"))
    return str(caught.value)


def test_the_corpus_is_whole() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == FAULTS.keys()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 250 * 2**10


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    path = FOLDER / f"{name}.zip"
    message = refusal(path, tmp_path)
    assert message.startswith(f"{path} is refused: ")
    assert re.search(FAULTS[name].message, message), message
    assert message.isprintable()
    assert str(tmp_path) not in message
    assert len(message) < 600


def test_what_the_faults_were_put_into_is_read(tmp_path: Path) -> None:
    files = made_up_files()
    bundle = read_bundle(write_zip(tmp_path / "mine.zip", files), tmp_path / "into")
    assert bundle.submission is not None
    assert bundle.submission.evaluator == TITLE
    assert [key.seed for key in bundle.keys] == [0, 1]
    assert {
        str(path.relative_to(tmp_path / "into")) for path in (tmp_path / "into").rglob("*.*") if path.is_file()
    } == (files.keys())


def test_folders_and_stored_files_are_read_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for folder in ("submissions/", "quick/"):
            archive.writestr(folder, b"")
        for path, content in made_up_files().items():
            archive.writestr(path, content)
    (tmp_path / "mine.zip").write_bytes(buffer.getvalue())
    assert len(read_bundle(tmp_path / "mine.zip", tmp_path / "into").keys) == 2


def test_more_entries_than_any_bundle_has(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for seed in range(MOST_FILES + 1):
            archive.writestr(f"quick/p/e/seed-{seed}/result.json", b"")
    (tmp_path / "many.zip").write_bytes(buffer.getvalue())
    assert "has more than 40000 entries" in refusal(tmp_path / "many.zip", tmp_path)


def test_files_that_are_too_large_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "mine.zip", made_up_files())
    monkeypatch.setattr("dvbench.submission.bundle.MOST_BYTES", 5_000)
    assert "its files have more than 5000 bytes" in refusal(path, tmp_path)


def test_entries_that_are_not_planned_are_not_read(tmp_path: Path) -> None:
    """As many empty files as a submission can list, in folders that no plan has."""
    files = made_up_files(1)
    empty = {f"quick/p/{TITLE}/seed-{seed}/result.json": b"" for seed in range(20_000)}
    path = write_zip(tmp_path / "many.zip", relisted({**files, **empty}))
    assert "is not planned" in refusal(path, tmp_path)
    assert not any(each.is_file() for each in (tmp_path / "a").rglob("*"))


def test_a_submission_is_judged_before_any_other_file_is_read(tmp_path: Path) -> None:
    def refuse(submission: Submission) -> None:
        raise UserError(f"not by {submission.about.authors[0]}")

    path = write_zip(tmp_path / "mine.zip", {**made_up_files(1), "quick/p/x/seed-0/result.json": b""})
    with pytest.raises(UserError, match="not by Ada"):
        read_bundle(path, tmp_path / "into", refuse)
    assert not (tmp_path / "into").exists()


def test_errors_of_failed_cells_take_no_space(tmp_path: Path) -> None:
    """A small archive of long errors: what is read of it, and what is shown, is short."""

    def failed(said: Any) -> None:
        said.update(status="failed", error="x\\u202e" * 20_000, scores={}, arrays={})

    files = made_up_files(2)
    for position in (0, 1):
        files = with_result(files, failed, position)
    files = relisted({path: content for path, content in files.items() if not path.endswith(".npy")})
    bundle = read_bundle(write_zip(tmp_path / "mine.zip", files), tmp_path / "into")
    assert [len(result.error or "") for result in bundle.results()] == [2000, 2000]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    for path, content in made_up_files().items():
        position = tmp_path / "results" / path
        position.parent.mkdir(parents=True, exist_ok=True)
        position.write_bytes(content)
    return tmp_path / "results"


def test_a_submission_in_a_results_folder_is_read(published: Path, tmp_path: Path) -> None:
    other = published / "quick/p/other/seed-0"
    other.mkdir(parents=True)
    (other / "script.py").touch()
    assert len(read_bundle(published / SUBMISSION, tmp_path / "into").keys) == 2


@pytest.mark.parametrize("what", ["file", "seed", "evaluator", "problem", "suite"])
def test_a_link_in_a_results_folder(published: Path, tmp_path: Path, what: str) -> None:
    result = next(published.glob(f"quick/*/{TITLE}/seed-0/result.json"))
    levels = {"file": result, "seed": result.parents[0], "evaluator": result.parents[1]}
    position = {**levels, "problem": result.parents[2], "suite": result.parents[3]}[what]
    position.rename(tmp_path / "elsewhere")
    position.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"is a link or is in a linked folder|is not a file of a bundle|is missing"):
        read_bundle(published / SUBMISSION, tmp_path / "into")


def test_a_pipe_in_a_results_folder(published: Path, tmp_path: Path) -> None:
    path = next(published.glob(f"quick/*/{TITLE}/seed-0/result.json"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="is not a plain file"):
        read_bundle(published / SUBMISSION, tmp_path / "into")


def test_a_stray_file_in_a_results_folder(published: Path, tmp_path: Path) -> None:
    path = next(published.glob(f"quick/*/{TITLE}/seed-0/result.json"))
    (path.parent / "run.sh").touch()
    with pytest.raises(UserError, match=r"run\.sh' is not a file of a bundle"):
        read_bundle(published / SUBMISSION, tmp_path / "into")


def test_a_file_that_is_too_large_in_a_results_folder(published: Path, tmp_path: Path) -> None:
    path = next(published.glob(f"quick/*/{TITLE}/seed-0/result.json"))
    with path.open("ab") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="has more than 2097152 bytes"):
        read_bundle(published / SUBMISSION, tmp_path / "into")


@pytest.mark.parametrize(
    "name", ["no.zip", "results/submissions/no.json", "elsewhere/mine.json", "submissions/a b.json"]
)
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is refused: "):
        read_bundle(tmp_path / name, tmp_path / "into")
