"""Doubts about a validation set: rows that the table has too, and numbers unlike those of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dvbench.errors import counted

if TYPE_CHECKING:
    from dvbench.problems.source import Source
    from dvbench.tables.reading import Table

FAR = 100.0  # standard deviations of the table
TIMES = 10.0  # the farthest number of the table
ROUNDING = 1e-9  # of the largest number of a column
SHOWN = 3
OUTSIDE = 0.05  # part of the rows of the table below, and above, which the middle of other rows is odd
USUAL = 0.5  # part of the rows of the table with a number that other rows may all have
ENOUGH = 10  # rows of a validation set, whose middle says something


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
    if far := _far_columns(table, ours, theirs, judges):
        said.append(
            f"the validation set has numbers in {_listed(far)} that are more than {FAR:.0f} standard "
            "deviations of the table away from its mean: check that both are written alike, such as in the same unit; "
            "a few such rows can decide all values"
        )
    if len(theirs) >= ENOUGH and (numbers := _numbers(table, ours, theirs)):
        names, own, other = numbers
        moved = [names[each] for each in _elsewhere(own, other) if names[each] not in far]
        if moved:
            said.append(
                f"half of the rows of the validation set or more have numbers in {_listed(moved)} that are below or "
                "above 95% of those of the table: check that both have the same unit"
            )
        usual = (own == other[0]).mean(axis=0) > USUAL
        if same := [names[each] for each in np.flatnonzero((np.ptp(other, axis=0) == 0) & ~usual)]:
            said.append(f"the validation set has no number, or the same one in every row, in {_listed(same)}")
    return tuple(said)


def copied_rows(table: Table) -> tuple[str, ...]:
    """Say that rows are copies of others, where they judge each other; of groups `shared_by_groups` says it."""
    from dvbench.tables.copies import row_hashes

    if table.source.groups is not None:
        return ()
    rows = table.source.take(np.arange(len(table.source.labels)))
    copies = len(rows) - len(np.unique(row_hashes(rows, table.source.labels)))
    return (
        f"{counted(copies, 'row')} repeat others: where a row is judged by its copy, its value says little",
    ) * bool(copies)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"


def _numbers(table: Table, ours: np.ndarray, theirs: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray] | None:
    """The columns of numbers and their names; None of an array, whose columns may be anything."""
    from dvbench.tables.encoders import Numbers

    if not table.encoders:
        return None
    ends = np.cumsum([encoder.width for encoder in table.encoders.values()])
    kept = {
        name: end - 1
        for (name, encoder), end in zip(table.encoders.items(), ends, strict=True)
        if isinstance(encoder, Numbers)
    }
    places = list(kept.values())
    return ([f"'{name}'" for name in kept], ours[:, places], theirs[:, places]) if kept else None


def _elsewhere(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Columns of which the middle number of other rows is below or above nearly all of the table."""
    low, high = np.quantile(ours, [OUTSIDE, 1 - OUTSIDE], axis=0)
    middle = np.median(theirs, axis=0)
    found: np.ndarray = np.flatnonzero((middle < low) | (middle > high))
    return found


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
