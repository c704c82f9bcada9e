"""Draw the rows of the training, validation and hidden test set: disjoint, and stratified by class."""

from __future__ import annotations

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source
from dvbench.settings import Sizes


def draw_rows(source: Source, sizes: Sizes, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the rows of the three sets.

    If a data set has fewer rows than ``sizes`` ask for, all rows are used and the sets shrink in proportion; sets of
    texts do not shrink. A training set of texts has the same number of texts of every corpus.

    Parameters
    ----------
    source : Source
    sizes : Sizes
        Number of rows of each set.
    rng : numpy.random.Generator

    Returns
    -------
    train, validation, test : numpy.ndarray of int64, shape (n_set,)
        Disjoint row numbers, in random order.

    Raises
    ------
    UserError
        If there are too few rows, or the training texts cannot be divided equally among the corpora.
    """
    if source.kind == "language":
        return _draw_texts(source, sizes, rng)
    groups = source.labels if source.kind == "classification" else np.zeros(len(source.labels), dtype=np.int64)
    rows = np.arange(len(groups))
    if source.test_rows is None:
        train, validation, test = _draw(rows, groups, (sizes.train, sizes.validation, sizes.test), rng)
    else:
        train, validation = _draw(np.setdiff1d(rows, source.test_rows), groups, (sizes.train, sizes.validation), rng)
        (test,) = _draw(np.unique(source.test_rows), groups, (sizes.test,), rng)
    return train, validation, test


def rows_of_corpora(source: Source) -> dict[str, np.ndarray]:
    """Row numbers of the training texts of each corpus, by the corpus's name, in alphabetical order."""
    assert source.groups is not None
    trainable = np.ones(len(source.groups), dtype=bool)
    trainable[_test_rows(source)] = False
    # Sorting millions of names takes seconds. A corpus is usually one run of equal names, so one name a run is enough.
    run_starts = np.append(True, source.groups[1:] != source.groups[:-1])
    names = np.unique(source.groups[run_starts])
    rows_by_name = {str(name): np.flatnonzero(trainable & (source.groups == name)) for name in names}
    return {name: rows for name, rows in rows_by_name.items() if len(rows)}


def check_texts(source: Source, sizes: Sizes) -> None:
    """Check that `draw_rows` can draw sets of these sizes from a source of texts.

    Raises
    ------
    UserError
        If the training texts cannot be divided equally among the corpora, or there are too few texts.
    """
    corpora = rows_of_corpora(source)
    if not corpora:
        raise UserError("there are no texts to train on")
    per_corpus, remainder = divmod(sizes.train, len(corpora))
    if remainder or not per_corpus:
        nearest = max(per_corpus, 1) * len(corpora)
        raise UserError(
            f"{sizes.train} training texts cannot be divided equally among {len(corpora)} corpora: ask for {nearest}"
        )
    for name, rows in corpora.items():
        if len(rows) < per_corpus:
            raise UserError(
                f"corpus '{name}' has {len(rows)} texts, but {sizes.train} training texts of {len(corpora)} corpora "
                f"need {per_corpus} of each: ask for {min(map(len, corpora.values())) * len(corpora)} at most"
            )
    available, needed = len(np.unique(_test_rows(source))), sizes.validation + sizes.test
    if needed > available:
        raise UserError(
            f"there are {available} test texts, fewer than {needed} ({sizes.validation} for validation, {sizes.test} "
            "for testing): ask for fewer"
        )


def _test_rows(source: Source) -> np.ndarray:
    assert source.test_rows is not None
    return source.test_rows


def _draw_texts(source: Source, sizes: Sizes, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_texts(source, sizes)
    corpora = rows_of_corpora(source)
    per_corpus = sizes.train // len(corpora)
    train = rng.permutation(np.concatenate([rng.permutation(rows)[:per_corpus] for rows in corpora.values()]))
    questions = rng.permutation(np.unique(_test_rows(source)))[: sizes.validation + sizes.test]
    return train, questions[: sizes.validation], questions[sizes.validation :]


def fold_rows(source: Source, folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Divide all rows into folds for cross-validation, stratified by class.

    Parameters
    ----------
    source : Source
    folds : int
    rng : numpy.random.Generator

    Returns
    -------
    list of numpy.ndarray of int64
        Disjoint row numbers; the sizes of folds differ by one at most.

    Raises
    ------
    UserError
        If there are fewer than two rows for each fold.
    """
    n = len(source.labels)
    groups = source.labels if source.kind == "classification" else np.zeros(n, dtype=np.int64)
    sizes = tuple(len(part) for part in np.array_split(np.arange(n), folds))
    return _draw(np.arange(n), groups, sizes, rng)


def _draw(pool: np.ndarray, groups: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Draw disjoint parts from a pool of rows, stratified by group.

    Groups keep their proportions, and a part with at least as many rows as there are groups has a row of every group.
    """
    if len(pool) < 2 * len(sizes):
        raise UserError(f"{len(pool)} rows cannot be split into {len(sizes)} parts of at least 2: use more data")
    part_sizes = np.array(sizes)
    if part_sizes.sum() > len(pool):
        part_sizes = _apportion(len(pool), part_sizes, low=np.minimum(part_sizes, 2), high=part_sizes)
    queues = [rng.permutation(pool[groups[pool] == group]) for group in np.unique(groups[pool])]
    remaining = np.array([len(queue) for queue in queues])
    parts = []
    for k, size in enumerate(part_sizes):
        # Reserve one row of each group for every later part that is large enough to hold one of each.
        reserved = int((part_sizes[k + 1 :] >= len(queues)).sum())
        high = np.maximum(remaining - reserved, 0)
        low = np.minimum(high, int(size >= len(queues)))
        counts = _apportion(int(size), remaining, low, high)
        parts.append(
            rng.permutation(np.concatenate([queue[:count] for queue, count in zip(queues, counts, strict=True)]))
        )
        queues = [queue[count:] for queue, count in zip(queues, counts, strict=True)]
        remaining = remaining - counts
    return parts


def _apportion(total: int, weights: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integers between bounds that sum to ``total``, in proportion to weights by the largest remainder method."""
    exact = total * weights / weights.sum()
    counts: np.ndarray = np.clip(np.floor(exact), low, high).astype(np.int64)
    while gap := total - counts.sum():
        step = np.sign(gap)
        adjustable = counts < high if step > 0 else counts > low
        counts[np.argmax(np.where(adjustable, step * (exact - counts), -np.inf))] += step
    return counts
