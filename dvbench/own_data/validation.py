"""Doubts about a validation set: rows that the table has too, and numbers unlike those of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dvbench.problems.source import Source
    from dvbench.tables.reading import Table

FAR = 100.0  # standard deviations of the table
TIMES = 10.0  # the farthest number of the table
ROUNDING = 1e-9  # of the largest number of a column
SHOWN = 3


def doubts(table: Table, judges: Source) -> tuple[str, ...]:
    """Say what is odd about a validation set, in words.

    Parameters
    ----------
    table : Table
    judges : Source
        See `dvbench.tables.reading.read_validation`.
    """
    from dvbench.tables.copies import row_hashes

    ours, theirs = (source.take(np.arange(len(source.labels))) for source in (table.source, judges))
    said = []
    own, other = row_hashes(ours, table.source.labels), row_hashes(theirs, judges.labels)
    if shared := int(np.isin(other, own).sum()):
        said.append(
            f"{shared:,} of the {len(other):,} rows of the validation set are rows of the table too: a row that judges "
            "itself is worth more than it would be to others"
        )
    if names := _far_columns(table, ours, theirs, judges):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        said.append(
            f"the validation set has numbers in {', '.join(names[:SHOWN])}{more} that are more than {FAR:.0f} standard "
            "deviations of the table away from its mean: check that both are written alike, such as in the same unit; "
            "a few such rows can decide all values"
        )
    return tuple(said)


def _far_columns(table: Table, ours: np.ndarray, theirs: np.ndarray, judges: Source) -> list[str]:
    """Names of the columns with numbers that are far from those of the table; of images there is one for all."""
    encoders = table.encoders or {}
    if ours.ndim > 2:
        names, ours, theirs = ["the arrays"], ours.reshape(-1, 1), theirs.reshape(-1, 1)
    elif encoders:
        names = [f"'{name}'" for name, encoder in encoders.items() for _ in range(encoder.width)]
    else:
        names = [f"column {number}" for number in range(ours.shape[1])]
    found = [names[each] for each in _far(ours, theirs)]
    if table.source.kind == "regression" and len(_far(table.source.labels[:, None], judges.labels[:, None])):
        found.append(f"'{table.label}'")
    return list(dict.fromkeys(found))


def _far(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Columns with numbers that are far from all of the table, although the table has different ones."""
    mean, deviation = ours.mean(axis=0), ours.std(axis=0)
    constant = np.ptp(ours, axis=0) <= ROUNDING * np.abs(ours).max(axis=0)
    scale = np.where(constant, np.inf, deviation)
    own, other = (np.abs((each - mean) / scale).max(axis=0) for each in (ours, theirs))
    found: np.ndarray = np.flatnonzero((other > FAR) & (other > TIMES * own))
    return found
