"""Computes exact tables, and checks them by computing some of their utilities again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvbench.errors import UserError
from dvbench.exact.tables import (
    MOST_PLAYERS,
    UTILITIES,
    Table,
    TableSettings,
    npy,
    parse_array,
    read_manifest,
    read_utilities,
    write_table,
)
from dvbench.files import explain_errors, write_atomically
from dvbench.games import all_coalitions
from dvbench.problems.build import build_from_settings
from dvbench.problems.problem import Problem
from dvbench.randomness import generator
from dvbench.results import Environment
from dvbench.scoring.retraining import Retraining
from dvbench.version import __version__

SAMPLE = 24  # coalitions of a table that a check computes again
TOLERANCE = 0.01  # mean difference that a check accepts, as a fraction of the range of the table

Progress = Callable[[int, int, float], None]


def state_of(settings: TableSettings, folder: Path) -> str:
    """Whether a folder has a table: ``done``, ``3 of 20 games``, ``other settings`` or ``missing``."""
    for table in read_manifest(folder).tables:
        if table.settings.name == settings.name and (folder / f"{settings.name}.npy").is_file():
            return "done" if table.settings == settings else "other settings"
    partial = _read_partial(settings, folder)
    return "missing" if partial is None else f"{len(partial)} of {len(settings.rows)} games"


def compute_table(
    settings: TableSettings, folder: Path, environment: Environment, progress: Progress | None = None
) -> Table:
    """Train a model on every coalition, for every seed and training, and write the table.

    Every game is saved when it is complete, so that a computation that was ended continues with the next game.

    Parameters
    ----------
    settings : TableSettings
    folder : Path
    environment : Environment
        Where it is computed, for the manifest.
    progress : callable, optional
        Called before each game and at the end with the number of finished games, the number of all games, and the
        seconds that this call has taken.

    Returns
    -------
    Table
        The entry that was added to the manifest.

    Raises
    ------
    UserError
        If the data set is not available, the problem has too many players, or the number of players depends on the
        seed.
    """
    problems = {seed: build_from_settings(settings.problem, seed) for seed in settings.seeds}
    first = problems[settings.seeds[0]]
    _check_players(settings, list(problems.values()))
    rows = _computed_rows(settings, problems, folder, progress or (lambda *_: None))
    utilities = _compact(rows[:, 1:]).reshape(len(settings.seeds), settings.trainings, -1)
    content = npy(utilities)
    table = Table(
        settings=settings,
        players=first.players,
        kind=first.kind,
        utility=UTILITIES[first.kind],
        revisions=tuple(problems[seed].revision for seed in settings.seeds),
        dtype="float16" if utilities.dtype == np.float16 else "float32",
        sha256=hashlib.sha256(content).hexdigest(),
        seconds=round(float(rows[:, 0].sum()), 1),
        dvbench_version=__version__,
        environment=environment,
    )
    write_table(folder, table, content)
    forget_partial(settings, folder)
    return table


def forget_partial(settings: TableSettings, folder: Path) -> None:
    """Delete the games of a table that was begun."""
    with explain_errors(folder):
        _partial_path(settings, folder).unlink(missing_ok=True)


def _computed_rows(
    settings: TableSettings, problems: Mapping[int, Problem], folder: Path, progress: Progress
) -> np.ndarray:
    """Processor seconds of each game, followed by its utilities; those on disk are not computed again."""
    coalitions = all_coalitions(problems[settings.seeds[0]].players)
    before, started = _read_partial(settings, folder), time.perf_counter()
    rows = np.empty((0, 1 + len(coalitions))) if before is None else before
    if rows.shape[1] != 1 + len(coalitions):
        raise UserError(f"{settings.name}: games in {folder} are of other data; begin again with --fresh")
    for number in range(len(rows), len(settings.rows)):
        progress(number, len(settings.rows), time.perf_counter() - started)
        seed, training = settings.rows[number]
        processor = time.process_time()
        utilities = _retraining(problems[seed], settings, training)(coalitions)
        rows = np.vstack([rows, [time.process_time() - processor, *utilities]])
        write_atomically(_partial_path(settings, folder), npy(rows))
    progress(len(settings.rows), len(settings.rows), time.perf_counter() - started)
    return rows


@dataclass(frozen=True)
class Check:
    """What a check of a table found.

    Parameters
    ----------
    sampled : int
        Number of utilities that were computed again.
    largest, mean : float
        Largest and mean absolute difference of these, as fractions of the range of the table.
    """

    sampled: int
    largest: float
    mean: float

    @property
    def ok(self) -> bool:
        """Whether the table is confirmed: rounding may change single predictions on another machine."""
        return self.mean <= TOLERANCE


def check_table(table: Table, folder: Path, sample: int = SAMPLE, draw: int = 0) -> Check:
    """Check the hash of a table, and compute a sample of its utilities again.

    Parameters
    ----------
    table : Table
    folder : Path
    sample : int
        Number of utilities, all of one seed and training.
    draw : int
        Number of the draw: another one samples others.

    Returns
    -------
    Check

    Raises
    ------
    UserError
        If the file was altered, the data set is not available, or it has other rows than when the table was computed.
    """
    utilities, settings = read_utilities(folder, table), table.settings
    rng = generator("exact", settings.name, "check", draw)
    row, training = int(rng.integers(len(settings.seeds))), int(rng.integers(settings.trainings))
    problem = build_from_settings(settings.problem, settings.seeds[row])
    if problem.revision != table.revisions[row]:
        raise UserError(f"{settings.name}: the data set has other rows than when the table was computed")
    numbers = rng.choice(2**table.players, size=min(sample, 2**table.players), replace=False)
    coalitions = all_coalitions(table.players)
    again = _retraining(problem, settings, training)([coalitions[number] for number in numbers])
    differences = np.abs(again - utilities[row, training, numbers]) / max(float(np.ptp(utilities)), 1e-12)
    return Check(len(numbers), float(differences.max()), float(differences.mean()))


def _check_players(settings: TableSettings, problems: Sequence[Problem]) -> None:
    players = {problem.players for problem in problems}
    if len(players) > 1:
        raise UserError(f"{settings.name}: the number of players depends on the seed: {sorted(players)}")
    if max(players) > MOST_PLAYERS:
        raise UserError(f"{settings.name}: {max(players)} players are too many for a table: at most {MOST_PLAYERS}")


def _retraining(problem: Problem, settings: TableSettings, training: int) -> Retraining:
    return Retraining(problem, settings.problem.model, settings.problem.training, training_seed=training)


def _compact(games: np.ndarray) -> np.ndarray:
    """Single precision, or half precision where that loses nothing more."""
    single, half = games.astype(np.float32), games.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), single) else single


def _partial_path(settings: TableSettings, folder: Path) -> Path:
    """File of the games that are complete while others are not."""
    return folder / f".{settings.name}-{settings.digest[:12]}.npy"


def _read_partial(settings: TableSettings, folder: Path) -> np.ndarray | None:
    path = _partial_path(settings, folder)
    try:
        rows = parse_array(path.read_bytes(), path)
    except OSError:
        return None
    if rows.ndim != 2 or len(rows) > len(settings.rows) or rows.dtype != np.float64 or not np.isfinite(rows).all():
        raise UserError(f"{path} is not part of a table; move it away")
    return rows
