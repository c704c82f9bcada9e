"""The published exact tables are those that are defined, whole, and what their files in other formats say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dvbench.exact.tables import Table, defined_tables, read_manifest, read_utilities
from dvbench.games import tabulated_shapley_values

FOLDER = Path(__file__).parents[2] / "results/exact"
TABLES = read_manifest(FOLDER).tables


def test_every_defined_table_is_published() -> None:
    """After a change: dvbench exact compute, and python tests/benchmarks/convergence.py."""
    assert {table.settings.name: table.settings for table in TABLES} == defined_tables()
    assert {path.stem for path in FOLDER.glob("*.npy")} == {table.settings.name for table in TABLES}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 30e6


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.settings.name)
def test_published_tables_match_their_hashes_and_are_games(table: Table) -> None:
    utilities = read_utilities(FOLDER, table)
    for games in utilities:
        assert len({games[training].tobytes() for training in range(len(games))}) == len(games)
        assert len(set(games[:, 0].tolist())) > 1  # initial weights differ
        for game in games[:2] if table.players <= 12 else ():
            values = tabulated_shapley_values(game)
            assert values.sum() == pytest.approx(game[-1] - game[0], abs=1e-9)
            assert np.ptp(values) > 0


def test_the_published_study_is_of_these_tables() -> None:
    ceilings = pd.read_csv(FOLDER / "ceilings.csv")
    assert list(ceilings["table"]) == [table.settings.name for table in TABLES]
    study = pd.read_csv(FOLDER / "convergence.csv")
    assert set(study["table"]) <= set(ceilings["table"])
    assert {"dvbench", "shapiq", "pyDVL"} == set(study["library"])
    for name in ("convergence.svg", "convergence-other-values.svg"):
        assert (FOLDER / name).read_bytes().startswith(b"<?xml")
