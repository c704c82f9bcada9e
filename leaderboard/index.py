"""An index of the results of a suite, so that a file that did not change is not read again.

The index is a SQLite file in the user's cache folder (or in DVBENCH_CACHE) and can be deleted at any time. It is not
kept in the results folder, because an index there could have been altered by the author of the results. It holds the
planned cells, and the status, cost, scores and curves of every result. Hashes of the rows show whether its content is
what was written; if it is not, the index is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dvbench.files import cache_folder
from dvbench.results import Store
from dvbench.results.store import PLAN, RESULT, SUBMISSIONS
from leaderboard.index_rows import planned_row, result_row, score_rows
from leaderboard.plans import merged_plan

VERSION = 9  # of the tables below; each version has its own file
TABLES = """
CREATE TABLE plan (stamp TEXT, version INTEGER, description TEXT, trials TEXT, digest TEXT);
CREATE TABLE planned (problem TEXT, evaluator TEXT, seed INTEGER, suite_version INTEGER, settings TEXT,
  tasks TEXT, kind TEXT, name TEXT, params TEXT, role TEXT, dataset TEXT, model TEXT, noise TEXT, players TEXT,
  level TEXT, source TEXT);
CREATE TABLE results (id INTEGER PRIMARY KEY, folder TEXT UNIQUE, stamp TEXT, sha256 TEXT, problem TEXT,
  evaluator TEXT, seed INTEGER, settings TEXT, valued TEXT, error TEXT, revision TEXT, problem_kind TEXT,
  train INTEGER, validation INTEGER, test INTEGER, seconds REAL, fits REAL, unlearned REAL, peak_memory REAL,
  peak_cuda_memory REAL, train_seconds REAL, unlearn_seconds REAL, machine TEXT, device TEXT, object TEXT,
  object_version TEXT, digest TEXT);
CREATE INDEX by_evaluator ON results (evaluator);
CREATE TABLE scores (id INTEGER, task TEXT, version INTEGER, metric TEXT, higher_is_better INTEGER, value REAL,
  ceiling REAL, error TEXT, metrics TEXT, lengths TEXT, points BLOB, axes TEXT, PRIMARY KEY (id, task));
"""
STATEMENTS = [statement.strip() for statement in TABLES.split(";") if statement.strip()]


@dataclass(frozen=True)
class IndexedSuite:
    """The plan, the results and the scores of one suite.

    Parameters
    ----------
    suite : str
    version : int
    description : str
    planned : pandas.DataFrame
        One row per planned cell: problem, evaluator, seed and the settings of the problem and the evaluator.
    results : pandas.DataFrame
        One row per result file.
    scores : pandas.DataFrame
        One row per score; ``id`` is that of its result.
    trials : str
        The suite whose results chose the settings of this one, or an empty text.
    """

    suite: str
    version: int
    description: str
    planned: pd.DataFrame
    results: pd.DataFrame
    scores: pd.DataFrame
    trials: str


@dataclass(frozen=True)
class ScoreCurves:
    """The curves of one score.

    Parameters
    ----------
    result_id : int
    task : str
    lines : dict of str to numpy.ndarray
        Each curve by name.
    axes : dict of str to str
        The x axis of each curve: another curve, ``"epoch"`` or ``"player"``.
    """

    result_id: int
    task: str
    lines: dict[str, np.ndarray]
    axes: dict[str, str]


class Index:
    """The index of the results of a suite; opening it updates it.

    An index that cannot be written is kept in memory, and a damaged one is made again.

    Parameters
    ----------
    store : Store
    suite : str
    is_current : bool
        The file was updated a moment ago by this program: it is read without comparing it with the results again.

    Raises
    ------
    UserError
        If there is no such suite, its plan belongs to another suite or plans no score, or a file cannot be read.
    """

    def __init__(self, store: Store, suite: str, is_current: bool = False) -> None:
        self.store, self.suite = store, suite
        path = index_path(store.root, suite)
        if is_current and path.exists():
            self._database = _connect(path)
            return
        try:
            self._database = self._updated(path)
        except (sqlite3.Error, OSError) as error:
            busy = isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error)
            if isinstance(error, sqlite3.DatabaseError) and not busy:
                with suppress(OSError):
                    path.unlink()
            self._database = self._updated(None)

    def _updated(self, path: Path | None) -> sqlite3.Connection:
        self._database = _open(path)
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                check_content(self._database)
                self._update_plan()
                self._update_results()
        except BaseException:
            self.close()
            raise
        return self._database

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def read(self) -> IndexedSuite:
        """Return everything except the curves."""
        plan = self._database.execute("SELECT version, description, trials FROM plan").fetchone()
        planned = self._frame("SELECT * FROM planned ORDER BY rowid")
        results = self._frame("SELECT * FROM results ORDER BY folder")
        columns = "id, task, version, metric, higher_is_better, value, ceiling, error, metrics"
        scores = self._frame(f"SELECT {columns} FROM scores")  # noqa: S608
        version, description, trials = plan
        return IndexedSuite(self.suite, version, description, planned, results, scores, trials)

    def curves(self, evaluator: str) -> Iterator[ScoreCurves]:
        """Yield the curves of every score of an evaluator that has curves."""
        rows = self._database.execute(
            "SELECT id, task, lengths, points, axes FROM scores JOIN results USING (id) "
            "WHERE evaluator = ? AND lengths <> '{}' ORDER BY folder, task",
            (evaluator,),
        )
        for result_id, task, encoded_lengths, points, axes in rows:
            lengths: dict[str, int] = json.loads(encoded_lengths)
            ends = np.cumsum(list(lengths.values()))[:-1]
            lines = dict(zip(lengths, np.split(np.frombuffer(points, np.float32), ends), strict=True))
            yield ScoreCurves(result_id, task, lines, json.loads(axes))

    def _frame(self, query: str) -> pd.DataFrame:
        cursor = self._database.execute(query)
        names, rows = [column[0] for column in cursor.description], cursor.fetchall()
        frame = pd.DataFrame(rows, columns=names, dtype=object)
        # Text stays plain Python text, because iterating over the rows of pandas' own text type is many times slower.
        numbers = [name for name in names if not any(isinstance(value, str) for value in frame[name])]
        return frame.assign(**{name: pd.to_numeric(frame[name]) for name in numbers})

    def _update_plan(self) -> None:
        root = self.store.root
        files = [root / self.suite / PLAN, *sorted((root / SUBMISSIONS).glob("[!.]*.json"))]
        stamp = " ".join(_stamp(path.stat()) for path in files if path.exists())
        if self._database.execute("SELECT stamp FROM plan").fetchone() == (stamp,):
            return
        plan = merged_plan(self.store, self.suite)
        self._database.execute("DELETE FROM plan")
        self._database.execute("DELETE FROM planned")
        row = {"version": plan.suite_version, "description": plan.description, "trials": plan.trials or ""}
        self._insert("plan", [{"stamp": stamp, **row}])
        self._insert(
            "planned", [planned_row(cell) | {"role": plan.roles.get(cell.key.evaluator, "")} for cell in plan.cells]
        )
        self._database.execute("UPDATE plan SET digest = ?", (_plan_digest(self._database),))

    def _update_results(self) -> None:
        known, inserted = dict(self._database.execute("SELECT folder, stamp FROM results")), list[int | None]()
        for folder, path, stamp in _result_files(self.store.root, self.suite):
            if known.pop(folder, None) == stamp:
                continue
            self._delete(folder)
            content = path.read_bytes()
            result = self.store.parse(content, path)
            row = result_row(result) | {"folder": folder, "stamp": stamp, "sha256": hashlib.sha256(content).hexdigest()}
            (result_id,) = self._insert("results", [row])
            self._insert("scores", [{"id": result_id, **score} for score in score_rows(result)])
            inserted.append(result_id)
        for folder in known:
            self._delete(folder)
        if inserted:
            digests = _result_digests(self._database)
            updates = [(digests[result_id], result_id) for result_id in inserted]
            self._database.executemany("UPDATE results SET digest = ? WHERE id = ?", updates)

    def _delete(self, folder: str) -> None:
        self._database.execute("DELETE FROM scores WHERE id = (SELECT id FROM results WHERE folder = ?)", (folder,))
        self._database.execute("DELETE FROM results WHERE folder = ?", (folder,))

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> list[int | None]:
        row_ids = []
        for row in rows:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            cursor = self._database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
            row_ids.append(cursor.lastrowid)
        return row_ids


@contextmanager
def open_index(store: Store, suite: str, is_current: bool = False) -> Iterator[Index]:
    """Open the index of a suite, and close it at the end; the parameters and errors are those of `Index`."""
    with closing(Index(store, suite, is_current)) as index:
        yield index


def index_path(root: Path, suite: str) -> Path:
    """Return the path of the index of a suite in a results folder."""
    digest = hashlib.sha256(os.fsencode(f"{root.resolve()}\n{suite}")).hexdigest()[:32]
    return cache_folder() / f"index-{VERSION}-{digest}.sqlite"


def _open(path: Path | None) -> sqlite3.Connection:
    """Open an index, or create it; without a path, in memory."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    database = _connect(path or ":memory:")
    try:
        database.execute("PRAGMA synchronous = OFF")  # after a power failure the index is made again
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
        with database:
            database.execute("BEGIN IMMEDIATE")  # other processes wait
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'plan'").fetchone():
                for statement in STATEMENTS:
                    database.execute(statement)
    except BaseException:
        database.close()
        raise
    return database


def _connect(path: Path | str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60, isolation_level=None)
    database.text_factory = lambda content: content.decode(errors="replace")  # bytes that are no text: a wrong hash
    return database


def check_content(database: sqlite3.Connection) -> None:
    """Compare the tables, and all their rows, with what was written.

    Raises
    ------
    sqlite3.DatabaseError
        If a table or a row was altered, added or removed.
    """
    tables = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")]
    if tables != STATEMENTS:
        raise sqlite3.DatabaseError("other tables than those of an index")
    plans = database.execute("SELECT digest FROM plan").fetchall()
    is_new = not plans and database.execute("SELECT 1 FROM results").fetchone() is None
    if not is_new and plans != [(_plan_digest(database),)]:
        raise sqlite3.DatabaseError("another plan than was written")
    if dict(database.execute("SELECT id, digest FROM results")) != _result_digests(database):
        raise sqlite3.DatabaseError("other results than were written")


def _plan_digest(database: sqlite3.Connection) -> str:
    rows = database.execute("SELECT stamp, version, description, trials FROM plan").fetchall()
    rows += database.execute("SELECT * FROM planned ORDER BY rowid").fetchall()
    return _digest(rows)


def _result_digests(database: sqlite3.Connection) -> dict[Any, str]:
    """Hash each result with its scores; scores of results that do not exist have a hash too."""
    rows: defaultdict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for table in ("results", "scores"):
        cursor = database.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608
        columns = [number for number, column in enumerate(cursor.description) if column[0] != "digest"]
        for row in cursor:
            rows[row[0]].append(tuple(row[number] for number in columns))
    return {result: _digest(parts) for result, parts in rows.items()}


def _digest(rows: list[tuple[Any, ...]]) -> str:
    """Hash rows with the types of their values."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr([value for value in row if not isinstance(value, bytes)]).encode())
        for value in row:
            if isinstance(value, bytes):
                digest.update(b"%d:" % len(value) + value)
    return digest.hexdigest()


def _result_files(root: Path, suite: str) -> Iterator[tuple[str, Path, str]]:
    """Yield the folder, path and stamp of every result of a suite."""
    for problem in _folders(root / suite):
        for evaluator in _folders(Path(problem.path)):
            for seed in _folders(Path(evaluator.path)):
                path = Path(seed.path, RESULT)
                try:
                    stamp = _stamp(path.stat())
                except FileNotFoundError:
                    continue
                yield f"{problem.name}/{evaluator.name}/{seed.name}", path, stamp


def _folders(path: Path) -> list[os.DirEntry[str]]:
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted((entry for entry in entries if entry.is_dir()), key=lambda entry: entry.name)


def _stamp(stat: os.stat_result) -> str:
    """Return a text that changes with the content: result files are replaced, so a new file has a new inode."""
    return f"{stat.st_mtime_ns}-{stat.st_size}-{stat.st_ino}"
