"""A table in a file."""

from __future__ import annotations

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source
from dvbench.tables.reading import Table, read_table

MIN_ROWS = 10
MIN_CLASS_ROWS = 3


def csv(path: str, label: str | None = None, group: str | None = None) -> Source:
    """A table in a file; one column is predicted, and the others are features.

    On the command line and in suites it is written ``csv:PATH`` or ``csv:PATH?label=COLUMN``.

    Parameters
    ----------
    path : str
        Path of a file as `dvbench.tables.reading.read_table` reads it.
    label : str, optional
        Column to predict; by default the one that is named like a label, or the last column.
    group : str, optional
        Column that holds the group of each row; it is not used as a feature.
    """
    table = read_table(path, label=label, group=group)
    _check_sizes(table)
    return table.source


def _check_sizes(table: Table) -> None:
    """Raise a `UserError` if the rows of some class cannot be in all of the three sets of a suite."""
    if len(table.rows) < MIN_ROWS:
        raise UserError(f"{table.name} has {len(table.rows)} rows of data: at least {MIN_ROWS} are needed")
    if table.source.kind == "classification":
        counts = np.bincount(table.source.labels)
        if counts.min() < MIN_CLASS_ROWS:
            raise UserError(
                f"class '{table.source.classes[counts.argmin()]}' in column '{table.label}' of {table.name} has "
                f"{counts.min()} rows, but each of the three sets needs one: add rows of this class, merge it with "
                "another class, or drop it"
            )
