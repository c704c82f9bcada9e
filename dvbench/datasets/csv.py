"""A table in a file."""

from __future__ import annotations

from dvbench.problems.source import Source
from dvbench.tables.reading import check_sizes, read_table


def csv(path: str, label: str | None = None, group: str | None = None) -> Source:
    """Table in a file: one column is predicted, and the others are features.

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
    check_sizes(table)
    return table.source
