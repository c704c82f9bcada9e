"""Writes games of exact tables in the format of shapiq, which reads them with ``shapiq.Game.load``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dvbench.errors import UserError
from dvbench.exact.tables import Table, read_utilities
from dvbench.files import write_atomically
from dvbench.games import all_coalitions

SHAPIQ = "1.4.1"  # whose format it is


def export_game(table: Table, folder: Path, out: Path, seed: int | None = None, training: int | None = None) -> Path:
    """Write one game of a table as a JSON file of shapiq.

    Parameters
    ----------
    table : Table
    folder : Path
        Folder of the table.
    out : Path
        Folder to write to.
    seed : int, optional
        Seed of the problem; the first one by default.
    training : int, optional
        Number of the training. By default the mean over all trainings: the expected utility, as far as it is known.

    Returns
    -------
    Path
        ``NAME.json``, or ``NAME-seed-1.json`` or ``NAME-seed-0-training-2.json`` if these were given.

    Raises
    ------
    UserError
        If there is no such seed or training, the table was altered, or the file cannot be written.
    """
    settings, utilities = table.settings, read_utilities(folder, table)
    if seed is not None and seed not in settings.seeds:
        raise UserError(f"{settings.name} has no seed {seed}: its seeds are {', '.join(map(str, settings.seeds))}")
    if training is not None and training >= settings.trainings:
        raise UserError(f"{settings.name} has no training {training}: it has {settings.trainings}, from 0 on")
    games = utilities[settings.seeds.index(seed) if seed is not None else 0]
    game = games.mean(axis=0) if training is None else games[training]
    chosen = {"seed": seed, "training": training}
    name = "-".join([settings.name, *(f"{what}-{number}" for what, number in chosen.items() if number is not None)])
    path = out / f"{name}.json"
    write_atomically(path, shapiq_json(game, name, table).encode())
    return path


def shapiq_json(game: np.ndarray, name: str, table: Table) -> str:
    """Text of a file that ``shapiq.Game.load`` reads, of the utilities of all coalitions."""
    names = [",".join(map(str, members)) or "Empty" for members in all_coalitions(table.players)]
    content = {
        "object_name": "Game",
        "data_type": "game",
        "version": SHAPIQ,
        "created_from": None,
        "description": f"{name} of dvbench: test {table.utility} of models trained on coalitions",
        "parameters": {"sha256": table.sha256},
        "timestamp": None,
        "metadata": {
            "n_players": table.players,
            "game_name": "Game",
            "normalization_value": rounded(game[:1])[0],
            "precompute_flag": True,
            "precomputed": True,
            "player_names": None,
        },
        "data": dict(zip(names, rounded(game), strict=True)),
    }
    return json.dumps(content, separators=(",", ":")) + "\n"


def rounded(game: np.ndarray) -> list[float]:
    """Utilities with seven significant digits, which is what tables hold; shorter to write than all digits."""
    return [float(f"{utility:.7g}") for utility in game]
