"""Reading texts from the user's files, and files that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_corpora import write_rows

from dvbench.errors import UserError
from dvbench.problems.text_corpora import read_texts

WRITERS: dict[str, Callable[[Path, list[str]], Any]] = {
    "txt": lambda path, texts: path.write_text("\n\n".join(texts) + "\n"),
    "jsonl": lambda path, texts: path.write_text("".join(json.dumps({"text": t, "n": 1}) + "\n" for t in texts)),
    "json": lambda path, texts: path.write_text(json.dumps([{"text": t, "n": 1} for t in texts])),
    "csv": lambda path, texts: path.write_text("\n".join(["n,text", *(f'1,"{t}"' for t in texts)])),
    "parquet": lambda path, texts: write_rows(path.parent / "made", "x", {"text": texts}).rename(path),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_of_every_kind(suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    texts = ["One, two: café.", "Three\nlines\nhere", "日本語 🎉"]
    WRITERS[suffix](tmp_path / f"mine.{suffix}", [texts[0], "", *texts[1:]])
    assert list(read_texts([tmp_path / f"mine.{suffix}"])) == texts
    assert list(read_texts([str(tmp_path / f"mine.{suffix}")] * 2)) == texts * 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_a_file_without_the_column(suffix: str, tmp_path: Path) -> None:
    WRITERS[suffix](tmp_path / f"mine.{suffix}", ["a", "b"])
    with pytest.raises(UserError, match=rf"mine\.{suffix} has no column 'content': it has .*text"):
        list(read_texts([tmp_path / f"mine.{suffix}"], "content"))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_without_text(suffix: str, tmp_path: Path) -> None:
    WRITERS[suffix](tmp_path / f"mine.{suffix}", ["", "  "])
    with pytest.raises(UserError, match=rf"mine\.{suffix} has no text that is not empty|cannot read"):
        list(read_texts([tmp_path / f"mine.{suffix}"]))


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00{"])
def test_a_file_that_cannot_be_read(
    suffix: str, content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    (tmp_path / f"mine.{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=rf"mine\.{suffix}") as caught:
        list(read_texts([tmp_path / f"mine.{suffix}"]))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing_and_unknown_files_are_refused_at_the_call(tmp_path: Path) -> None:
    (tmp_path / "mine.pdf").write_text("x")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(
        UserError, match=r"cannot read texts from .*mine\.pdf: its name must end in one of \.txt, \.jsonl, "
    ):
        read_texts([tmp_path / "mine.pdf"])
    for name in ("nothing.txt", "folder.txt"):
        with pytest.raises(UserError, match=rf"there is no file .*{name} to read texts from"):
            read_texts([tmp_path / name])
