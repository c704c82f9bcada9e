"""Checks where values are written, before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from dvbench.errors import UserError


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
    picture = out.with_suffix(".png") if out.name else out
    if out.is_dir() or not out.name:
        raise UserError(f"{out} is a folder: give the path of a .csv file as --out")
    if picture == out:
        raise UserError(f"{out} would be overwritten by the picture: give a .csv file as --out")
    for read in (data, *others):
        if read.resolve() in (out.resolve(), picture.resolve()):
            raise UserError(f"{read} would be overwritten: give another --out")
    folder = next(folder for folder in out.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"cannot write {out}: {folder} is not a folder that you can write to; give another --out")
    return out
