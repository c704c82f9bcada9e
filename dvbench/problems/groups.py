"""Assign training points to subsets, for problems whose players are subsets."""

from __future__ import annotations

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source
from dvbench.problems.splits import rows_of_corpora
from dvbench.settings import Groups

LARGEST = 10.0  # how many times the points of the smallest subset the largest has, if sizes are unequal


def assign(groups: Groups, source: Source, rows: np.ndarray, dataset: str, rng: np.random.Generator) -> np.ndarray:
    """Assign every training point to a subset.

    Parameters
    ----------
    groups : Groups
    source : Source
    rows : numpy.ndarray of int, shape (n,)
        Row numbers of the training set.
    dataset : str
        Name of the data set, for messages.
    rng : numpy.random.Generator
        Draws random groups.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Subset of each training point, numbered from 0: in the order of the classes, or in the alphabetical order of
        the column's values or the corpora's names.

    Raises
    ------
    UserError
        If a subset would be empty, or the data set cannot be grouped in this way.
    """
    subsets: np.ndarray
    check_groups(groups, source, dataset)
    if groups.count is not None:
        if groups.count > len(rows):
            raise UserError(
                f"{len(rows)} training points of {dataset} cannot be divided into {groups.count} subsets: ask for fewer"
            )
        return rng.permutation(_random_subsets(len(rows), groups.count, groups.sizes == "unequal"))
    if groups.by == "corpora":
        assert source.groups is not None
        subsets = np.searchsorted(list(rows_of_corpora(source)), source.groups[rows]).astype(np.int64)
        return subsets
    group_of_row = source.labels if groups.by == "classes" else source.groups
    if group_of_row is None:
        raise UserError(f"'{dataset}' has no column '{groups.column}' to group by")
    names, numbers = np.unique(group_of_row, return_inverse=True)
    missing = np.setdiff1d(np.arange(len(names)), numbers[rows])
    if len(missing):
        name = source.classes[missing[0]] if groups.by == "classes" else names[missing[0]]
        raise UserError(
            f"group '{name}' has no point in the training set of {len(rows)} points, drawn from {dataset}: ask for a "
            "larger training set, or merge this group with another"
        )
    subsets = numbers[rows].astype(np.int64)
    return subsets


def _random_subsets(points: int, count: int, unequal: bool) -> np.ndarray:
    """Subset of each point, before they are mixed."""
    if not unequal:
        return np.arange(points) % count
    shares = np.geomspace(1, LARGEST, count)
    ends = np.round(np.cumsum(shares) / shares.sum() * (points - count)).astype(np.int64)  # each has a point already
    return np.repeat(np.arange(count), 1 + np.diff(ends, prepend=0))


def check_groups(groups: Groups, source: Source, dataset: str) -> None:
    """Raise a `UserError` if a data set of this kind cannot be grouped in this way."""
    if groups.by == "classes" and source.kind == "regression":
        raise UserError(f"{dataset} is a regression, which has no classes: group by 'random' or by a column")
    if groups.by == "classes" and source.kind == "language":
        raise UserError(f"{dataset} holds texts, which have no classes: group by 'corpora' or 'random'")
    if groups.by == "corpora" and source.kind != "language":
        raise UserError(f"{dataset} has no corpora of texts: group by 'random', by 'classes' or by a column")
