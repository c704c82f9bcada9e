"""Published versions of boards: what the board of a suite showed on a day, and what had changed since the one before.

``results/boards/SUITE/VERSION.json`` holds the tables of a version as they were shown. They are kept as texts rather
than computed again, because an old board must not change with the code or with results that are replaced.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dvbench.errors import UserError, validation_message
from dvbench.files import write_atomically
from leaderboard.goal_tables import GoalTable, goal_tables
from leaderboard.index import open_index
from leaderboard.plans import results_store, suite_names
from leaderboard.statistics import suite_statistics
from leaderboard.suite_scores import suite_scores
from leaderboard.tables import SuiteTables, suite_tables
from leaderboard.text import LENGTH, clean

FOLDER = "boards"


@dataclass(frozen=True)
class Board:
    """A published version of the board of a suite.

    Parameters
    ----------
    version : int
        From 1 on.
    date : datetime.date
    changes : str
        What has changed since the version before, in one line.
    suite_version : int
    tables : SuiteTables
    goals : tuple of GoalTable
    digest : str
        SHA-256 of the other fields, by which a change after publishing is seen; boards of before there was one have
        none.
    """

    version: int
    date: datetime.date
    changes: str
    suite_version: int
    tables: SuiteTables
    goals: tuple[GoalTable, ...]
    digest: str = ""

    def computed_digest(self) -> str:
        """Compute the digest of the board as it is."""
        return hashlib.sha256(BOARD.dump_json(replace(self, digest=""))).hexdigest()

    def shows(self, tables: SuiteTables, goals: tuple[GoalTable, ...]) -> bool:
        """Whether the board shows these tables."""
        return (self.tables, self.goals) == (tables, goals)


BOARD = TypeAdapter(Board)


def boards(results: Path, suite: str) -> list[Board]:
    """Read the published versions of a board, the newest first.

    Raises
    ------
    UserError
        If a file is no board, was changed after it was published, is not of this suite or version, or one is missing.
    """
    folder = results / FOLDER / suite
    read = sorted((_read(path, suite) for path in folder.glob("[!.]*.json")), key=lambda board: -board.version)
    if read and (missing := {*range(1, read[0].version)} - {board.version for board in read}):
        raise UserError(f"{folder / f'{min(missing)}.json'} is missing, and later versions are there: restore it")
    return read


def publish(results: Path, suite: str, changes: str, today: datetime.date) -> Path:
    """Keep what the board of a suite shows now as its next version.

    Parameters
    ----------
    results : Path
        A results folder.
    suite : str
    changes : str
        What has changed since the version before.
    today : datetime.date

    Returns
    -------
    Path
        The file of the version.

    Raises
    ------
    UserError
        If there are no such results, nothing is said of the changes, the board is the one of the last version, or that
        is of a later day.
    """
    store = results_store(results)
    if suite not in suite_names(store):
        raise UserError(f"{results} has no results of the suite '{suite}': run it first, or give another --results")
    if not (said := clean(changes)):
        raise UserError("say what has changed since the version before, with --changes 'ten seeds in place of five'")
    if len(" ".join(changes.split())) > LENGTH:
        raise UserError(f"--changes is one line of at most {LENGTH} characters")
    with open_index(store, suite) as index:
        scores = suite_scores(index)
    tables, goals = suite_tables(scores, suite_statistics(scores)), goal_tables(scores)
    known = boards(results, suite)
    if known and known[0].shows(tables, goals):
        raise UserError(f"the board of '{suite}' has not changed since version {known[0].version}: nothing to publish")
    if known and today < known[0].date:
        raise UserError(f"version {known[0].version} is of {known[0].date}, after today, {today}: set the clock right")
    board = Board(known[0].version + 1 if known else 1, today, said, scores.version, tables, goals)
    board = replace(board, digest=board.computed_digest())
    path = results / FOLDER / suite / f"{board.version}.json"
    write_atomically(path, BOARD.dump_json(board, indent=1) + b"\n")
    return path


def _read(path: Path, suite: str) -> Board:
    try:
        board = BOARD.validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path} is no board: {validation_message(error)}; restore it, or delete it") from error
    if board.tables.suite != suite or path.stem != str(board.version) or board.version < 1:
        raise UserError(f"{path} is version {board.version} of the board of '{clean(board.tables.suite)}': rename it")
    if board.digest and board.digest != board.computed_digest():
        raise UserError(f"{path} was changed after it was published: restore it")
    return board
