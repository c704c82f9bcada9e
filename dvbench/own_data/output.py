"""Checks where values are written, before any work is done."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvbench.errors import UserError
from dvbench.files import NOT_OURS, file_sha256, read_ours, write_atomically

if TYPE_CHECKING:
    import pandas as pd

NOT_SAID = ("understood", "remarks", "folds")  # too long for a line, or said by another setting


def default_output(data: Path) -> Path:
    """Return the file beside a table to which its values are written by default."""
    return data.with_name(f"{data.stem}-values.csv")


def check_output(data: Path, out: Path, *others: Path) -> Path:
    """Return a path for values, unless something would be overwritten, or it cannot be written.

    Parameters
    ----------
    data : Path
        The table.
    out : Path
        For the values; the picture has the same name with the suffix .png.
    *others : Path
        Other files that are read.

    Raises
    ------
    UserError
        If it is not the path of a file beside which a picture can be written.
    """
    if out.is_dir() or not out.name:
        raise UserError(f"{out} is a folder: give the path of a .csv file as --out")
    check_csv(out)
    picture, settings = (out.with_suffix(suffix) for suffix in (".png", ".json"))
    for read in (data, *others):
        if read.resolve() in (out.resolve(), picture.resolve(), settings.resolve()):
            raise UserError(f"{read} would be overwritten: give another --out")
    settings_file(out)
    if picture.is_dir():
        raise UserError(f"{picture} is a folder: give another --out")
    if picture.exists() and picture.name not in _files_of(settings):
        raise UserError(f"{picture} {NOT_OURS}")
    folder = next(folder for folder in out.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"cannot write {out}: {folder} is not a folder that you can write to; give another --out")
    return out


def check_csv(out: Path) -> None:
    """Raise a `UserError` if the name of a file says that it holds something else than text with separators."""
    if out.suffix.lower() not in ("", ".csv", ".txt"):
        raise UserError(f"{out} would hold comma-separated text: give the name of a .csv file")


def settings_file(out: Path) -> Path:
    """Return the file beside values that says what they were made with: ``mine-values.json`` for ``mine-values.csv``.

    Raises
    ------
    UserError
        If the values would be in a file of another format, or replace a file that is not known to be dvbench's own.
    """
    check_csv(out)
    path = out.with_suffix(".json")
    if path.exists() and _settings(path) is None:
        raise UserError(f"{path} exists and does not say how values were made: move it away, or write to another file")
    if out.exists() and out.name not in _files_of(path):
        raise UserError(f"{out} {NOT_OURS}")
    return path


def _settings(path: Path) -> dict[str, Any] | None:
    """Read what values were made with; None if the file does not say it."""
    read = read_ours(path)
    return read if read is not None and ("evaluator" in read or "strategy" in read) else None


def _files_of(settings: Path) -> list[str]:
    """Names of the files beside settings that dvbench has written, and so may replace."""
    return list((_settings(settings) or {}).get("files", ()))


def files_read(**data: Any) -> dict[str, dict[str, str]]:
    """Return name and hash of each of these that is the path of a file, by its keyword."""
    paths = {name: Path(each) for name, each in data.items() if isinstance(each, str | Path)}
    return {name: {"file": path.name, "sha256": file_sha256(path)} for name, path in paths.items() if path.is_file()}


def write_with_settings(
    out: Path, frame: pd.DataFrame, made_with: Mapping[str, Any], also: Sequence[Path] = ()
) -> None:
    """Write values or kept rows to a CSV file, and what they were made with to a file beside it, with the suffix .json.

    Parameters
    ----------
    out : Path
    frame : pandas.DataFrame
    made_with : mapping
    also : sequence of Path
        Files that are written beside these afterwards.

    Raises
    ------
    UserError
        See `settings_file`.
    """
    beside = settings_file(out)
    earlier = [name for name in _files_of(beside) if out.with_name(name).exists()]
    files = list(dict.fromkeys([out.name, *(path.name for path in also), *earlier]))
    # First what says whose the values are: without it they could not be replaced after an interruption.
    write_atomically(beside, json.dumps({**made_with, "files": files}, indent=2, default=str).encode())
    write_atomically(out, frame.to_csv(index=False).encode())


def replaced(out: Path, made_with: Mapping[str, Any]) -> str | None:
    """Say that values will be replaced that were made in another way; None if there are none.

    Parameters
    ----------
    out : Path
        Of the values.
    made_with : mapping
        Of the new values.
    """
    if not out.exists():
        return None
    before = _settings(settings_file(out)) or {}
    after = json.loads(json.dumps(dict(made_with), default=str))
    if ("strategy" in before) != ("strategy" in after):
        kind = f"rows kept by {before['strategy']}" if "strategy" in before else f"values by {before.get('evaluator')}"
        return f"{out} is replaced; it held {kind}"
    changed = [name for name in after if name not in NOT_SAID and before.get(name) != after[name]]
    said = [_in_words(name, before.get(name)) for name in changed]
    return f"{out} is replaced; its earlier settings: {', '.join(said)}" if said else None


def _in_words(name: str, setting: Any) -> str:
    """A setting in words; of a file its name alone, and what is none is said to be none."""
    name = name.replace("_", " ")
    if isinstance(setting, dict) and "file" in setting:
        setting = setting["file"]
    if isinstance(setting, dict):
        setting = ", ".join(f"{key}={value}" for key, value in setting.items())
    return f"no {name}" if setting in (None, "") else f"{name} {setting}"
