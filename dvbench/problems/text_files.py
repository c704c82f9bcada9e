"""Which files can hold a user's texts. Imports neither torch nor a reader, so that wrong files are refused at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvbench.errors import UserError

BUILDERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {}),
    ".parquet": ("parquet", {}),
}
"""Reader of `datasets` for each suffix, and its options."""


def require_text_files(files: Iterable[Path]) -> None:
    """Refuse files that do not exist, or whose suffix is not known.

    Raises
    ------
    UserError
    """
    for path in files:
        if path.suffix.lower() not in BUILDERS:
            raise UserError(f"cannot read texts from {path}: its name must end in one of {', '.join(BUILDERS)}")
        if not path.is_file():
            raise UserError(f"there is no file {path} to read texts from")
