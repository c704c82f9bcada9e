"""A table in a CSV file."""

from __future__ import annotations

from dvbench.problems.csv_tables import read_table
from dvbench.problems.source import Source


def csv(path: str, label: str | None = None, group: str | None = None) -> Source:
    """A table in a CSV file with a header: one column is predicted, every other column is a feature.

    On the command line and in suites it is written ``csv:PATH?label=COLUMN``.

    Parameters
    ----------
    path : str
        The file; ``.tsv`` files are separated by tabs.
    label : str, optional
        Column to predict; by default ``label``.
    group : str, optional
        Column that says which group a row belongs to; it is no feature.
    """
    return read_table(path, label, group)
