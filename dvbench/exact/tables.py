"""What an exact table is, and how it is read. Needs no torch.

A folder of tables has one plain array for each, ``NAME.npy``, and ``manifest.json``, which says what each of them is.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from dvbench.errors import UserError, one_line, unknown, validation_message
from dvbench.files import write_atomically
from dvbench.results import Environment
from dvbench.results.schema import Label, Sha256, as_json
from dvbench.settings import Kind, Name, ProblemSettings, Strict

FOLDER = Path("results/exact")
MANIFEST = "manifest.json"
MOST_PLAYERS = 20
UTILITIES: dict[Kind, str] = {
    "classification": "accuracy",
    "regression": "negative mean squared error",
    "language": "negative perplexity",
}


class TableSettings(Strict):
    """What decides the numbers of a table.

    ``seeds`` are those of the problem: the rows that are drawn, noise and subsets. The model is trained ``trainings``
    times on each coalition, with other initial weights and minibatches; the first training is the one that tasks score
    with.
    """

    name: Name
    problem: ProblemSettings
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    trainings: int = Field(gt=0)

    @model_validator(mode="after")
    def _seeds_differ(self) -> TableSettings:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ")
        return self

    @property
    def rows(self) -> list[tuple[int, int]]:
        """Seed and training of each game of the table."""
        return [(seed, training) for seed in self.seeds for training in range(self.trainings)]

    @property
    def digest(self) -> str:
        """Hash of these settings."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Table(Strict):
    """An entry of the manifest: settings, and what was computed from them.

    ``revisions`` are the hashes of the rows that each seed draws. ``seconds`` is the processor time of all trainings.
    """

    settings: TableSettings
    players: int = Field(gt=1, le=MOST_PLAYERS)
    kind: Kind
    utility: Label
    revisions: tuple[Sha256, ...]
    dtype: Literal["float16", "float32"]
    sha256: Sha256
    seconds: float = Field(ge=0)
    dvbench_version: Label
    environment: Environment

    @model_validator(mode="after")
    def _whole(self) -> Table:
        if len(self.revisions) != len(self.settings.seeds):
            raise ValueError("there must be one revision for each seed")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Seeds, trainings and coalitions."""
        return len(self.settings.seeds), self.settings.trainings, 2**self.players


class Manifest(Strict):
    """The tables of a folder."""

    schema_version: Literal[1] = 1
    tables: tuple[Table, ...] = ()

    @model_validator(mode="after")
    def _nothing_twice(self) -> Manifest:
        names = [table.settings.name for table in self.tables]
        if len(set(names)) < len(names):
            raise ValueError("a table is there twice")
        return self


def defined_tables(path: Path | None = None) -> dict[str, TableSettings]:
    """Settings of the tables by name, in the order of the file.

    Parameters
    ----------
    path : Path, optional
        A TOML file with ``[[tables]]``; by default the one that comes with dvbench.

    Raises
    ------
    UserError
        If the file cannot be read, or its content is not that of such a file.
    """
    source = files("dvbench.exact") / "tables.toml" if path is None else path
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
        entries = [TableSettings.model_validate(entry) for entry in content["tables"]]
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{source} is not a TOML file with [[tables]]: {one_line(error)}") from error
    except ValidationError as error:
        raise UserError(f"{source}: {validation_message(error)}") from error
    tables = {entry.name: entry for entry in entries}
    if len(tables) < len(entries):
        raise UserError(f"{source}: two tables have the same name; rename one")
    return tables


def chosen_tables(names: list[str], path: Path | None = None) -> list[TableSettings]:
    """Settings of the named tables, or of all if no name is given.

    Raises
    ------
    UserError
        If there is no such table.
    """
    known = defined_tables(path)
    for name in names:
        if name not in known:
            raise unknown("exact table", name, known)
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder; it is empty if there is none.

    Raises
    ------
    UserError
        If the file is not a manifest.
    """
    path = folder / MANIFEST
    if not path.exists():
        return Manifest()
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(f"{path} is no manifest of exact tables: {validation_message(error)}; move it away") from error


def write_table(folder: Path, table: Table, content: bytes) -> None:
    """Write a table, and then the manifest with its entry, in the order of the definitions."""
    write_atomically(folder / f"{table.settings.name}.npy", content)
    others = [other for other in read_manifest(folder).tables if other.settings.name != table.settings.name]
    order = {name: number for number, name in enumerate(defined_tables())}
    entries = sorted([*others, table], key=lambda entry: order.get(entry.settings.name, len(order)))
    write_atomically(folder / MANIFEST, as_json(Manifest(tables=tuple(entries))).encode())


def find_table(name: str, folder: Path = FOLDER) -> Table:
    """Return the entry of a table in the manifest of a folder.

    Raises
    ------
    UserError
        If the folder has no such table.
    """
    tables = {table.settings.name: table for table in read_manifest(folder).tables}
    if name not in tables:
        raise unknown(f"exact table in {folder}", name, tables, "'dvbench exact compute' computes tables.")
    return tables[name]


def load_table(name: str, folder: Path | str = FOLDER) -> np.ndarray:
    """Load the utilities of a table, and check them against their hash.

    Parameters
    ----------
    name : str
    folder : Path or str
        Folder of tables.

    Returns
    -------
    numpy.ndarray of shape (seeds, trainings, 2**players)
        Test utilities, float64, each of a model that was trained on a coalition: player i is in coalition k where bit i
        of k is set. `dvbench.games.tabulated_shapley_values` takes the coalitions of one seed and training.

    Raises
    ------
    UserError
        If there is no such table, or its file was altered or is not a plain array.
    """
    folder = Path(folder)
    return read_utilities(folder, find_table(name, folder))


def read_utilities(folder: Path, table: Table) -> np.ndarray:
    """Load the utilities of an entry of the manifest; see `load_table`."""
    path = folder / f"{table.settings.name}.npy"
    again = "compute it again with 'dvbench exact compute --fresh'"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {again}") from error
    if hashlib.sha256(content).hexdigest() != table.sha256:
        raise UserError(f"{path} does not match its hash in {MANIFEST}; {again}")
    array = parse_array(content, path)
    if array.dtype != table.dtype or array.shape != table.shape or not np.isfinite(array).all():
        raise UserError(f"{path} does not hold finite numbers of shape {table.shape} in {table.dtype}; {again}")
    return array.astype(np.float64)


def known_games(folder: Path, problem: ProblemSettings, seed: int, revision: str) -> np.ndarray | None:
    """Utilities of the coalitions of a problem for each training, if a folder has a table of it.

    Parameters
    ----------
    folder : Path
        Folder of tables, which need not exist.
    problem : ProblemSettings
    seed : int
    revision : str
        Hash of the rows that the seed draws.

    Returns
    -------
    numpy.ndarray of shape (trainings, 2**players), or None

    Raises
    ------
    UserError
        If the table or the manifest was altered.
    """
    for table in read_manifest(folder).tables:
        settings = table.settings
        if settings.problem == problem and seed in settings.seeds:
            row = settings.seeds.index(seed)
            if table.revisions[row] == revision:
                games: np.ndarray = read_utilities(folder, table)[row]
                return games
    return None


def parse_array(content: bytes, path: Path) -> np.ndarray:
    """Parse the content of a file that holds a plain array.

    Raises
    ------
    UserError
        If it holds something else.
    """
    try:
        array: np.ndarray = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False, max_header_size=1000)
    except Exception as error:  # numpy raises many kinds of errors for files that it did not write
        raise UserError(f"{path} is not a plain array: {one_line(error)}; move it away") from error
    return array


def npy(array: np.ndarray) -> bytes:
    """Content of a file that holds a plain array."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
