"""Finds copies that make values meaningless: columns that copy the label, and rows that several groups have."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dvbench.tables.cells import Cells
from dvbench.tables.labels import Labels

SHARED = 0.5  # of the rows of a group, from which on it is named
NAMED = 3  # groups


def copies_of_label(cells: Cells, names: Iterable[str], label: str, labels: Labels) -> tuple[str, ...]:
    """Name columns that have one value for each class, as copies of the label do.

    Parameters
    ----------
    cells : Cells
    names : iterable of str
        The feature columns.
    label : str
    labels : Labels
        Of a classification.
    """
    import pandas as pd

    classes, codes = len(labels.classes), labels.values.astype(np.int64)
    said = []
    for name in names:
        values = pd.factorize(cells.columns[name].to_pandas())[0].astype(np.int64)
        if values.min() == 0 and values.max() + 1 == classes == len(np.unique(values * classes + codes)):
            said.append(
                f"column '{name}' has one value for each class of '{label}': if it is a copy of the label, leave it "
                f"out with --drop '{name}'"
            )
    return tuple(said)


def row_hashes(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One number for each row, equal in this process where features and label are equal; int64 of shape (n,)."""
    rows = zip(features.reshape(len(labels), -1), labels.tolist(), strict=True)  # of large tables no copy is made
    return np.fromiter((hash((row.tobytes(), label)) for row, label in rows), dtype=np.int64, count=len(labels))


def shared_by_groups(groups: np.ndarray, features: np.ndarray, labels: np.ndarray) -> tuple[str, ...]:
    """Name groups most of whose rows another group has too, which may be copies.

    Parameters
    ----------
    groups : numpy.ndarray of str, shape (n,)
    features : numpy.ndarray, shape (n, ...)
    labels : numpy.ndarray, shape (n,)
    """
    from scipy.sparse import csr_array

    names, owners, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rows = np.unique(row_hashes(features, labels), return_inverse=True)[1]
    counts = csr_array((np.ones(len(owners)), (rows, owners)))
    shared = (counts.T @ (counts > 0).astype(float)).toarray()
    np.fill_diagonal(shared, 0)
    found = [(each, int(shared[each].argmax())) for each in np.flatnonzero(shared.max(axis=1) >= SHARED * sizes)]
    # Two groups with the same rows are named once, the smaller one first.
    pairs = {frozenset(pair): pair for pair in sorted(found, key=lambda pair: (-sizes[pair[0]], -pair[0]))}
    found = [pair for pair in found if pairs[frozenset(pair)] == pair]
    said = [
        f"{int(shared[each, other]):,} of the {sizes[each]:,} rows of group '{names[each]}' are rows of "
        f"'{names[other]}' too: copies can be paid again"
        for each, other in found[:NAMED]
    ]
    rest = len(found) - NAMED
    more = [f"so it is with {rest:,} more group{'s' * (rest > 1)}"] if rest > 0 else []
    return (*said, *more)
