"""Doubts about a validation set: rows that the table has too, and numbers unlike those of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dvbench.problems.source import Source
    from dvbench.tables.reading import Table

FAR = 100.0  # standard deviations of the table
TIMES = 10.0  # the farthest number of the table
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
    far = _far(ours, theirs) if ours.ndim == 2 else np.array([], dtype=np.int64)
    if len(far):
        columns = [name for name, encoder in (table.encoders or {}).items() for _ in range(encoder.width)]
        names = list(dict.fromkeys(f"'{columns[each]}'" if columns else str(each) for each in far))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        said.append(
            f"the validation set has numbers in column {', '.join(names[:SHOWN])}{more} that are more than {FAR:.0f} "
            "standard deviations of the table away from its mean: check that both are in the same unit; a few such "
            "rows can decide all values"
        )
    return tuple(said)


def _far(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Columns with numbers that are far from all of the table, although the table has different ones."""
    mean, deviation = ours.mean(axis=0), ours.std(axis=0)
    scale = np.where(deviation > 0, deviation, np.inf)
    own, other = (np.abs((each - mean) / scale).max(axis=0) for each in (ours, theirs))
    found: np.ndarray = np.flatnonzero((other > FAR) & (other > TIMES * own))
    return found
