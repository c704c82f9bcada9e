"""What a data set is before it becomes a problem: labels at hand, and features read only for the rows in use.

The class is not alone in a file of its own name, because the registry would take it for a data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dvbench.settings import Kind


@dataclass(frozen=True, eq=False)
class Source:
    """A data set.

    Parameters
    ----------
    kind : {"classification", "regression"}
    labels : numpy.ndarray of shape (n,)
        Class numbers (int64), or targets (float64).
    take : callable
        ``take(rows)`` reads the raw features of those rows only: an array of shape (len(rows), ...), float32 or
        float64, in the order of ``rows``.
    classes : tuple of str, optional
        Class names; class ``k`` is ``classes[k]``. Empty for regression.
    standardise : bool, default True
        Whether features are columns of a table, each of which is standardised with the mean and the standard deviation
        of the training set. Pixels are not.
    test_rows : numpy.ndarray of int, optional
        Rows that the hidden test set is drawn from, such as an official test split; the other parts are drawn from the
        other rows. Without it all parts come from one pool.
    groups : numpy.ndarray of str, shape (n,), optional
        Which group each row belongs to, where a column of the table was asked for.

    Raises
    ------
    ValueError
        If labels do not fit the kind and the classes.
    """

    kind: Kind
    labels: np.ndarray
    take: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...] = ()
    standardise: bool = True
    test_rows: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.kind == "regression":
            fits = self.labels.dtype == np.float64 and np.isfinite(self.labels).all()
        else:
            fits = self.labels.dtype == np.int64 and bool(np.isin(self.labels, np.arange(len(self.classes))).all())
        if not fits or self.labels.ndim != 1:
            raise ValueError("labels must be finite float64 targets, or int64 numbers of the classes, of shape (n,)")


def classification(features: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Source:
    """Table of shape (n, features) in memory, with class numbers of shape (n,)."""
    return Source("classification", labels.astype(np.int64), lambda rows: features[rows], classes)


def regression(features: np.ndarray, targets: np.ndarray) -> Source:
    """Table of shape (n, features) in memory, with targets of shape (n,)."""
    return Source("regression", targets.astype(np.float64), lambda rows: features[rows])
