"""`Source`, what a data set plug-in returns: the labels of all rows, and a function that reads features of some rows.

A data set is a function that returns a `Source`: in a file of the same name in ``dvbench/datasets/``, or named by an
entry point of the group ``dvbench.datasets``, or by ``module:function``. A suite can set its parameters, which must
have defaults. It must return the same rows in the same order in every call, because splits are drawn by row numbers
and results hold a hash of the data. It neither splits nor scales them: `dvbench.problems.build` does. A table in
memory needs only this, in ``dvbench/datasets/two_moons.py``::

    from sklearn.datasets import make_moons

    from dvbench.problems.source import Source, classification


    def two_moons() -> Source:
        '''Two interleaving half circles with noise; 500 rows, 2 features, 2 classes.'''
        points, labels = make_moons(500, noise=0.2, random_state=0)
        return classification(points, labels, ("upper", "lower"))

`regression` does the same for real targets, `dvbench.problems.hub.read_images` for images of the Hugging Face hub and
`dvbench.problems.text_corpora.text_source` for corpora of texts. `dvbench.problems.image_encoder.encode_images`
replaces images by the features of a frozen encoder, and `dvbench.problems.text_encoder.read_labelled_texts` reads texts
with labels as such features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dvbench.errors import unknown
from dvbench.settings import Kind


@dataclass(frozen=True, eq=False)
class Source:
    """A data set before its rows are drawn.

    Parameters
    ----------
    kind : {"classification", "regression", "language"}
    labels : numpy.ndarray of shape (n,)
        Classification: class numbers, int64. Regression: targets, float64. Language: for each text the position (int64,
        at least 1) of the first token that the loss includes.
    take : callable
        ``take(rows)`` reads the features of these rows, in their order, before any scaling: an array of shape
        (len(rows), ...), float32 or float64. For texts it reads token numbers, uint16 of shape (len(rows), length):
        the begin-of-text token, the tokens of the text, and then `dvbench.problems.perplexity.PADDING`.
    classes : tuple of str, optional
        Class names; class ``k`` is ``classes[k]``. Empty for regression and language.
    standardise : bool, default True
        Whether features are columns of a table, each of which is standardised with the mean and the standard deviation
        of the training set. False for images and texts.
    test_rows : numpy.ndarray of int, optional
        Rows that the hidden test set is drawn from, such as an official test split. Training and validation sets are
        then drawn from the other rows. By default all three sets are drawn from all rows. For texts it is required,
        and validation and test sets are both drawn from it.
    groups : numpy.ndarray of str, shape (n,), optional
        The group of each row: the value of the column that a table is grouped by, or the corpus of each text.
    vocabulary : int
        Number of different tokens of texts; 0 for other kinds.
    fingerprint : callable, optional
        ``fingerprint(rows)`` returns hashes of these rows, uint8 of shape (len(rows), bytes). They stand for the
        features in the hash of the data, if features are computed, because these differ between machines by rounding.
    components : int
        Number of principal components of the training set that replace the columns before they are standardised; 0 for
        none.

    Raises
    ------
    ValueError
        If labels do not fit the kind and the classes, or if a parameter that texts need is missing.
    """

    kind: Kind
    labels: np.ndarray
    take: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...] = ()
    standardise: bool = True
    test_rows: np.ndarray | None = None
    groups: np.ndarray | None = None
    vocabulary: int = 0
    fingerprint: Callable[[np.ndarray], np.ndarray] | None = None
    components: int = 0

    def __post_init__(self) -> None:
        if self.kind == "language":
            self._check_texts()
        else:
            self._check_labels()

    def _check_texts(self) -> None:
        if self.labels.dtype != np.int64 or self.labels.ndim != 1 or (self.labels < 1).any():
            raise ValueError("labels of texts must be int64 positions, at least 1, of shape (n,)")
        if self.groups is None or self.groups.shape != self.labels.shape or self.test_rows is None:
            raise ValueError("texts need groups, the corpus of each text, and test_rows")
        if self.vocabulary < 1 or self.standardise or self.classes:
            raise ValueError("texts need a vocabulary and standardise=False, and have no classes")

    def _check_labels(self) -> None:
        if self.kind == "regression":
            valid = self.labels.dtype == np.float64 and np.isfinite(self.labels).all()
        else:
            valid = self.labels.dtype == np.int64 and bool(np.isin(self.labels, np.arange(len(self.classes))).all())
        if not valid or self.labels.ndim != 1:
            raise ValueError("labels must be finite float64 targets, or int64 numbers of the classes, of shape (n,)")


def classification(features: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Source:
    """Make a classification data set of a table in memory.

    Parameters
    ----------
    features : numpy.ndarray of shape (n, columns)
        Not scaled; columns are standardised later with statistics of the training set.
    labels : numpy.ndarray of int, shape (n,)
        Class numbers from 0.
    classes : tuple of str
        Class names; class ``k`` is ``classes[k]``.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If a label is not the number of a class.
    """
    return Source("classification", labels.astype(np.int64), lambda rows: features[rows], classes)


def regression(features: np.ndarray, targets: np.ndarray) -> Source:
    """Make a regression data set of a table in memory.

    Parameters
    ----------
    features : numpy.ndarray of shape (n, columns)
        Not scaled; columns are standardised later with statistics of the training set.
    targets : numpy.ndarray of shape (n,)
        Real numbers; standardised later with statistics of the training set.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If a target is infinite or not a number.
    """
    return Source("regression", targets.astype(np.float64), lambda rows: features[rows])


def keep_classes(source: Source, names: Sequence[str]) -> Source:
    """Leave out the rows of all other classes.

    Parameters
    ----------
    source : Source
        A classification data set.
    names : sequence of str
        Class ``k`` of the result is ``names[k]``.

    Returns
    -------
    Source

    Raises
    ------
    UserError
        If there is no such class.
    """
    for name in names:
        if name not in source.classes:
            raise unknown("class", name, source.classes)
    numbers = np.array([source.classes.index(name) for name in names])
    rows = np.flatnonzero(np.isin(source.labels, numbers))
    new_numbers = np.full(len(source.classes), -1)
    new_numbers[numbers] = np.arange(len(numbers))
    take, fingerprint = source.take, source.fingerprint
    return replace(
        source,
        labels=new_numbers[source.labels[rows]],
        classes=tuple(names),
        take=lambda chosen: take(rows[chosen]),
        fingerprint=None if fingerprint is None else lambda chosen: fingerprint(rows[chosen]),
        test_rows=None if source.test_rows is None else np.flatnonzero(np.isin(rows, source.test_rows)),
        groups=None if source.groups is None else source.groups[rows],
    )
