"""The files that a bundle may have, and their largest sizes; all other files are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import get_args

from dvbench.problems.variants import array_length
from dvbench.results import ArrayName, Cell, CellKey

MEGABYTE = 2**20
MOST_FILES = 40_000
MOST_BYTES = 512 * MEGABYTE
RESULT_BYTES = MEGABYTE // 4  # of the result files of a bundle, on average
HEADER_BYTES = 1024  # of an array
NAME = "[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}"
SUBMISSION = re.compile(rf"submissions/({NAME})\.json")
CELL = re.compile(
    rf"(?!submissions/|verified/)({NAME})/({NAME})/({NAME})/seed-(0|[1-9][0-9]{{0,8}})/"
    rf"(?:result\.json|(?:{'|'.join(get_args(ArrayName))})\.npy)"
)
Files = Mapping[str, Callable[[int], bytes]]
"""For the path of each file a function that reads it; the argument is the largest size in bytes."""
FOLDER = re.compile(rf"(?:{NAME}/){{1,4}}")


def limit_of(path: str) -> int | None:
    """Return the largest size in bytes of the file at a path, or None if a bundle has no such file."""
    if SUBMISSION.fullmatch(path):
        return 4 * MEGABYTE
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


def planned_limit(path: str, cell: Cell) -> int:
    """Return the largest size in bytes of a file of a planned cell: most arrays have one number a player."""
    largest = limit_of(path) or 0
    if path.endswith(".json"):
        return largest
    groups = cell.problem.groups
    players = groups.count if groups and groups.count else cell.problem.sizes.train
    selection = cell.problem.selection
    if path.endswith(("chosen.npy", "weights.npy")):
        sets = 0 if selection is None else len(selection.fractions) * selection.selections
        return min(largest, sets * (2 * players if path.endswith("weights.npy") else -(-players // 8)) + HEADER_BYTES)
    name = path.rpartition("/")[2].removesuffix(".npy")
    return min(largest, 8 * array_length(name, players) + HEADER_BYTES)
