"""A table in a CSV file."""

from __future__ import annotations

from dvbench.problems.csv_tables import read_table
from dvbench.problems.source import Source


def csv(path: str, label: str | None = None, group: str | None = None) -> Source:
    """A table in a CSV file with a header; one column is predicted, and all others are features.

    On the command line and in suites it is written ``csv:PATH`` or ``csv:PATH?label=COLUMN``.

    Parameters
    ----------
    path : str
        Path of a text file in UTF-8. If its name ends in ``.tsv``, its values are separated by tabs.
    label : str, optional
        Column to predict; by default the last column.
    group : str, optional
        Column that holds the group of each row; it is not used as a feature.
    """
    return read_table(path, label, group)
