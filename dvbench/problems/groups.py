"""Which subset each point of the training set belongs to, where subsets are the players."""

from __future__ import annotations

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source
from dvbench.problems.splits import rows_of_corpora
from dvbench.settings import Groups


def assign(groups: Groups, source: Source, rows: np.ndarray, dataset: str, rng: np.random.Generator) -> np.ndarray:
    """Assign every point to a group.

    Parameters
    ----------
    groups : Groups
    source : Source
    rows : numpy.ndarray of int, shape (n,)
        Of the training set.
    dataset : str
        Its name, for messages.
    rng : numpy.random.Generator
        Draws random groups.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        From 0; classes in their order, values of a column and corpora in that of their names.

    Raises
    ------
    UserError
        If a group would be empty, or there are no such groups.
    """
    check_groups(groups, source, dataset)
    if groups.count is not None:
        if groups.count > len(rows):
            raise UserError(
                f"{len(rows)} training points of {dataset} cannot make {groups.count} subsets: ask for fewer"
            )
        return rng.permutation(np.arange(len(rows)) % groups.count)
    if groups.by == "corpora":
        assert source.groups is not None
        return np.searchsorted(list(rows_of_corpora(source)), source.groups[rows]).astype(np.int64)
    all_of_them = source.labels if groups.by == "classes" else source.groups
    if all_of_them is None:
        raise UserError(f"'{dataset}' has no column '{groups.column}' to group by")
    names, numbers = np.unique(all_of_them, return_inverse=True)
    missing = np.setdiff1d(np.arange(len(names)), numbers[rows])
    if len(missing):
        name = source.classes[missing[0]] if groups.by == "classes" else names[missing[0]]
        raise UserError(
            f"group '{name}' has no point in the training set of {len(rows)}, drawn from {dataset}: take a larger one, "
            "or put the group's rows together with another's"
        )
    return numbers[rows].astype(np.int64)


def check_groups(groups: Groups, source: Source, dataset: str) -> None:
    """Raise a `UserError` if a data set of this kind has no such groups."""
    if groups.by == "classes" and source.kind == "regression":
        raise UserError(f"{dataset} is a regression, which has no classes: group by 'random' or by a column")
    if groups.by == "classes" and source.kind == "language":
        raise UserError(f"{dataset} is of texts, which have no classes: group by 'corpora' or 'random'")
    if groups.by == "corpora" and source.kind != "language":
        raise UserError(f"{dataset} has no corpora of texts: group by 'random', by 'classes' or by a column")
