"""The files that a bundle may have, and their largest sizes; all other files are refused."""

from __future__ import annotations

import re

from dvbench.results import CellKey

MEGABYTE = 2**20
MOST_FILES = 40_000
MOST_BYTES = 512 * MEGABYTE
NAME = "[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}"
SUBMISSION = re.compile(rf"submissions/({NAME})\.json")
CELL = re.compile(
    rf"(?!submissions/|verified/)({NAME})/({NAME})/({NAME})/seed-(0|[1-9][0-9]{{0,8}})/"
    r"(?:result\.json|values\.npy|standard_errors\.npy|repeat\.npy)"
)
FOLDER = re.compile(rf"(?:{NAME}/){{1,4}}")


def limit_of(path: str) -> int | None:
    """Return the largest size in bytes of the file at a path, or None if a bundle has no such file."""
    if SUBMISSION.fullmatch(path):
        return 16 * MEGABYTE
    if CELL.fullmatch(path):
        return 2 * MEGABYTE if path.endswith(".json") else 8 * MEGABYTE
    return None


def key_of(path: str) -> CellKey | None:
    """Return the cell that a file belongs to, or None if it belongs to none."""
    match = CELL.fullmatch(path)
    if match is None:
        return None
    suite, problem, evaluator, seed = match.groups()
    return CellKey(suite=suite, problem=problem, evaluator=evaluator, seed=int(seed))
