"""Draws the rows of the training, validation and hidden test set: disjoint, and stratified by class."""

from __future__ import annotations

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source
from dvbench.settings import Sizes


def draw_rows(source: Source, sizes: Sizes, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the rows of the three parts.

    Parts that share a pool of rows with too few of them shrink in proportion and use it up; those of texts do not. A
    training set of texts has equally many of every corpus.

    Parameters
    ----------
    source : Source
    sizes : Sizes
        Wanted numbers of rows.
    rng : numpy.random.Generator

    Returns
    -------
    train, validation, test : numpy.ndarray of int64, shape (n_part,)
        Disjoint row numbers, in random order.

    Raises
    ------
    UserError
        If there are too few rows.
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
    """Numbers of the training texts of every corpus, by its name, in alphabetical order."""
    assert source.groups is not None
    free = np.ones(len(source.groups), dtype=bool)
    free[_test_rows(source)] = False
    # Millions of names take seconds to sort; a corpus is one run of rows.
    begins = np.append(True, source.groups[1:] != source.groups[:-1])
    found = {str(name): np.flatnonzero(free & (source.groups == name)) for name in np.unique(source.groups[begins])}
    return {name: rows for name, rows in found.items() if len(rows)}


def check_texts(source: Source, sizes: Sizes) -> None:
    """Find what `draw_rows` would find of texts.

    Raises
    ------
    UserError
        If corpora cannot have equal shares of the training set, or there are too few texts.
    """
    corpora = rows_of_corpora(source)
    if not corpora:
        raise UserError("there are no texts to train on")
    each, left = divmod(sizes.train, len(corpora))
    if left or not each:
        nearest = max(each, 1) * len(corpora)
        raise UserError(
            f"{sizes.train} training texts cannot be of {len(corpora)} corpora in equal shares: ask for {nearest}"
        )
    for name, rows in corpora.items():
        if len(rows) < each:
            raise UserError(
                f"corpus '{name}' has {len(rows)} texts, and {sizes.train} training texts of {len(corpora)} corpora "
                f"are {each} of each: ask for {min(map(len, corpora.values())) * len(corpora)} at most"
            )
    there, wanted = len(np.unique(_test_rows(source))), sizes.validation + sizes.test
    if wanted > there:
        raise UserError(
            f"there are {there} test texts, and {sizes.validation} validation and {sizes.test} test ones are {wanted}: "
            "ask for fewer"
        )


def _test_rows(source: Source) -> np.ndarray:
    assert source.test_rows is not None
    return source.test_rows


def _draw_texts(source: Source, sizes: Sizes, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_texts(source, sizes)
    corpora = rows_of_corpora(source)
    each = sizes.train // len(corpora)
    train = rng.permutation(np.concatenate([rng.permutation(rows)[:each] for rows in corpora.values()]))
    others = rng.permutation(np.unique(_test_rows(source)))[: sizes.validation + sizes.test]
    return train, others[: sizes.validation], others[sizes.validation :]


def fold_rows(source: Source, folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut all rows into folds, stratified by class.

    Parameters
    ----------
    source : Source
    folds : int
    rng : numpy.random.Generator

    Returns
    -------
    list of numpy.ndarray of int64
        Disjoint row numbers; sizes differ by one at most.

    Raises
    ------
    UserError
        If there are fewer than two rows a fold.
    """
    n = len(source.labels)
    groups = source.labels if source.kind == "classification" else np.zeros(n, dtype=np.int64)
    sizes = tuple(len(part) for part in np.array_split(np.arange(n), folds))
    return _draw(np.arange(n), groups, sizes, rng)


def _draw(pool: np.ndarray, groups: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Cut disjoint parts out of a pool, each with every group in proportion and, if it is large enough, in person."""
    if len(pool) < 2 * len(sizes):
        raise UserError(f"{len(pool)} rows cannot be split into {len(sizes)} parts of at least 2: use more data")
    wanted = np.array(sizes)
    if wanted.sum() > len(pool):
        wanted = _apportion(len(pool), wanted, low=np.minimum(wanted, 2), high=wanted)
    queues = [rng.permutation(pool[groups[pool] == group]) for group in np.unique(groups[pool])]
    left = np.array([len(queue) for queue in queues])
    parts = []
    for k, size in enumerate(wanted):
        # Every later part that can hold one row of each group is left one.
        reserved = int((wanted[k + 1 :] >= len(queues)).sum())
        high = np.maximum(left - reserved, 0)
        low = np.minimum(high, int(size >= len(queues)))
        counts = _apportion(int(size), left, low, high)
        parts.append(
            rng.permutation(np.concatenate([queue[:count] for queue, count in zip(queues, counts, strict=True)]))
        )
        queues = [queue[count:] for queue, count in zip(queues, counts, strict=True)]
        left = left - counts
    return parts


def _apportion(total: int, weights: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whole numbers between bounds that sum to ``total``, as near to proportional as can be (largest remainder)."""
    shares = total * weights / weights.sum()
    counts = np.clip(np.floor(shares), low, high).astype(np.int64)
    while gap := total - counts.sum():
        step = np.sign(gap)
        free = counts < high if step > 0 else counts > low
        counts[np.argmax(np.where(free, step * (shares - counts), -np.inf))] += step
    return counts
