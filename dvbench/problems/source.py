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
    kind : {"classification", "regression", "language"}
    labels : numpy.ndarray of shape (n,)
        Class numbers (int64), or targets (float64), or the positions (int64, from 1) from which on the tokens of a text
        count in the loss.
    take : callable
        ``take(rows)`` reads the raw features of those rows only: an array of shape (len(rows), ...), float32 or
        float64, in the order of ``rows``. Of texts it reads token numbers, uint16 of shape (len(rows), length): first
        the one that marks the beginning of a text, at the end `dvbench.problems.perplexity.PADDING`.
    classes : tuple of str, optional
        Class names; class ``k`` is ``classes[k]``. Empty for others.
    standardise : bool, default True
        Whether features are columns of a table, each of which is standardised with the mean and the standard deviation
        of the training set. Pixels are not.
    test_rows : numpy.ndarray of int, optional
        Rows that the hidden test set is drawn from, such as an official test split; the other parts are drawn from the
        other rows. Without it all parts come from one pool.
    groups : numpy.ndarray of str, shape (n,), optional
        Which group each row belongs to, where a column of the table was asked for; the corpus of each text.
    vocabulary : int
        Number of token numbers of texts; 0 for others.

    Raises
    ------
    ValueError
        If labels do not fit the kind and the classes, or something of texts is missing.
    """

    kind: Kind
    labels: np.ndarray
    take: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...] = ()
    standardise: bool = True
    test_rows: np.ndarray | None = None
    groups: np.ndarray | None = None
    vocabulary: int = 0

    def __post_init__(self) -> None:
        if self.kind == "language":
            self._check_texts()
        else:
            self._check_labels()

    def _check_texts(self) -> None:
        if self.labels.dtype != np.int64 or self.labels.ndim != 1 or (self.labels < 1).any():
            raise ValueError("labels of texts must be int64 positions from 1, of shape (n,)")
        if self.groups is None or self.groups.shape != self.labels.shape or self.test_rows is None:
            raise ValueError("every text needs a corpus, and some must be those of the test set")
        if self.vocabulary < 1 or self.standardise or self.classes:
            raise ValueError("texts have a vocabulary, and neither classes nor columns to standardise")

    def _check_labels(self) -> None:
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
