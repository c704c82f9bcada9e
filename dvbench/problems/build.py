"""Real data -> a `Problem`: rows drawn, features scaled, noise injected.

One file a data set, holding a function named like the file that returns a `Source`. Everything else is done here, once
and for all data sets: only the training set's statistics are used for scaling, and only the training set is disturbed.
Texts are neither scaled nor disturbed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source

if TYPE_CHECKING:
    import torch

    from dvbench.problems.problem import Problem, Split
    from dvbench.settings import Groups, Noise, Sizes

__all__ = ["Source", "build_problem", "check_noise", "load_source"]

TABLE = "csv:"
LABEL = "?label="


def load_source(dataset: str, group: str | None = None) -> Source:
    """Find a data set.

    Parameters
    ----------
    dataset : str
        A registered name, ``module:function``, or a table of one's own: ``csv:PATH`` or ``csv:PATH?label=COLUMN``.
    group : str, optional
        Column of a table that says which group a row belongs to.

    Returns
    -------
    Source

    Raises
    ------
    UserError
        If there is no such data set, or it cannot be read.
    """
    from dvbench.problems.csv_tables import read_table
    from dvbench.registry import find

    if dataset.startswith(TABLE):
        path, named, label = dataset.removeprefix(TABLE).partition(LABEL)
        return read_table(path, label if named else None, group)
    if group is not None:
        raise UserError(f"'{dataset}' is no table: only those of one's own can be grouped by a column")
    entry = find("datasets", dataset)
    try:
        source = entry.load()()
    except TypeError as error:
        raise UserError(f"data set '{dataset}' cannot be called without arguments: {error}") from error
    if not isinstance(source, Source):
        raise UserError(f"data set '{dataset}' must be a function that returns a dvbench.problems.source.Source")
    return source


def build_problem(dataset: str, sizes: Sizes, noise: Noise, seed: int, groups: Groups | None = None) -> Problem:
    """Build a valuation problem.

    Rows depend on the data set, the sizes and the seed alone, so every noise is injected into the same training set.

    Parameters
    ----------
    dataset : str
        As in `load_source`.
    sizes : Sizes
        Points of each part; they shrink in proportion if the data set has fewer rows, unless they are texts.
    noise : Noise
        What is done to the training set. ``sigma`` counts in standard deviations of a column over the training set, or
        of all pixels over the training set.
    seed : int
        Seed of the split, the noise and random groups.
    groups : Groups, optional
        Which subsets are the players; by default points are.

    Returns
    -------
    Problem

    Raises
    ------
    UserError
        If the data set cannot be had, or has no such noise or groups, or too few texts, or a group is empty.
    """
    from dvbench.problems.groups import assign, check_groups
    from dvbench.problems.splits import draw_rows
    from dvbench.randomness import generator

    source = load_source(dataset, None if groups is None else groups.column)
    check_noise(noise, source, dataset)
    if groups is not None:
        check_groups(groups, source, dataset)
    rows = draw_rows(source, sizes, generator(_key(dataset), seed, "split"))
    players = None
    if groups is not None:
        players = assign(groups, source, rows[0], dataset, generator(_key(dataset), seed, "groups"))
    return assemble(source, dataset, rows, noise, seed, players)


def check_noise(noise: Noise, source: Source, dataset: str) -> None:
    """Raise a `UserError` if a data set of this kind has no such noise."""
    if noise.kind == "labels" and source.kind == "regression":
        raise UserError(f"data set '{dataset}' is a regression, which has no labels to flip: use feature noise")
    if noise.kind != "none" and source.kind == "language":
        raise UserError(f"data set '{dataset}' is of texts, into which no noise is injected: use noise of kind 'none'")


def assemble(
    source: Source,
    dataset: str,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    noise: Noise,
    seed: int,
    players: np.ndarray | None = None,
) -> Problem:
    """Make a problem of given rows.

    Parameters
    ----------
    source : Source
    dataset : str
        Its name.
    rows : tuple of three numpy.ndarray of int
        Rows of the training, the validation and the hidden test set.
    noise : Noise
    seed : int
        Seed of the noise.
    players : numpy.ndarray of int, shape (n_train,), optional
        Which player each point of the training set belongs to; by default each is one.

    Returns
    -------
    Problem
    """
    from dvbench.problems.problem import Problem

    raw = [source.take(part) for part in rows]
    ys = [source.labels[part] for part in rows]
    if source.kind == "language":
        parts, corrupted = _texts(raw, ys, source, dataset), _nobody(len(raw[0]), players)
    else:
        parts, corrupted = _points(raw, ys, source, dataset, noise, seed, players)
    return Problem(
        dataset=_key(dataset),
        kind=source.kind,
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        rows=rows[0],
        corrupted=corrupted,
        noise=noise,
        seed=seed,
        revision=_revision(raw, ys, rows),
        classes=source.classes,
        groups=players,
        vocabulary=source.vocabulary,
    )


def _points(
    raw: list[np.ndarray],
    ys: list[np.ndarray],
    source: Source,
    dataset: str,
    noise: Noise,
    seed: int,
    players: np.ndarray | None,
) -> tuple[list[Split], np.ndarray]:
    """Parts of scaled features and targets, the first disturbed, and the mask of disturbed players."""
    from dvbench.problems.problem import Split
    from dvbench.randomness import generator

    for values in (*raw, *ys):
        _check_numbers(values, dataset)
    xs, unit = (_scale(raw), 1.0) if source.standardise else (raw, float(raw[0].std(dtype=np.float64)))
    train_x, train_y, corrupted = _disturb(
        xs[0], ys[0], noise, unit, len(source.classes), players, generator(_key(dataset), seed, "noise", noise.kind)
    )
    targets = _targets([train_y, *ys[1:]], source)
    parts = [Split(_tensor(x, dataset), _tensor(y, dataset)) for x, y in zip([train_x, *xs[1:]], targets, strict=True)]
    return parts, corrupted


def _texts(raw: list[np.ndarray], ys: list[np.ndarray], source: Source, dataset: str) -> list[Split]:
    """Parts of token numbers, each in memory of its own, and positions."""
    import torch

    from dvbench.problems.perplexity import PADDING
    from dvbench.problems.problem import Split

    for tokens in raw:
        if tokens.dtype != np.uint16 or tokens.ndim != 2:
            raise UserError(f"data set '{dataset}' must give tokens of texts as uint16 of shape (texts, length)")
        blocks = np.array_split(tokens, len(tokens) // 4096 + 1)
        if any(((block >= source.vocabulary) & (block != PADDING)).any() for block in blocks):
            raise UserError(f"data set '{dataset}' has tokens that are not in its vocabulary of {source.vocabulary}")
    owned = [np.require(tokens, requirements=["C", "O", "W"]) for tokens in raw]
    return [
        Split(torch.from_numpy(tokens), torch.tensor(y[:, np.newaxis], dtype=torch.float32))
        for tokens, y in zip(owned, ys, strict=True)
    ]


def _nobody(points: int, groups: np.ndarray | None) -> np.ndarray:
    """The mask of disturbed players where there are none."""
    return np.zeros(points if groups is None else groups.max() + 1, dtype=bool)


def _key(dataset: str) -> str:
    """Name for generators: one table has one split wherever it lies and whichever way its path is written."""
    if dataset.startswith(TABLE):
        return TABLE + Path(dataset.removeprefix(TABLE).partition(LABEL)[0]).name
    from dvbench.registry import find

    return find("datasets", dataset).name


def _scale(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Standardise columns with the statistics of the first part, the training set."""
    mean, deviation = parts[0].mean(axis=0, dtype=np.float64), parts[0].std(axis=0, dtype=np.float64)
    # A constant column's standard deviation may be a rounding error rather than 0, and a tiny one's may be 0.
    deviation = np.where((np.ptp(parts[0], axis=0) == 0) | (deviation == 0), 1.0, deviation)
    return [(part - mean) / deviation for part in parts]


def _disturb(
    x: np.ndarray,
    labels: np.ndarray,
    noise: Noise,
    unit: float,
    classes: int,
    groups: np.ndarray | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features and labels of the training set, and the mask of disturbed players."""
    from dvbench.problems.noise import disturb_features, flip_labels

    if noise.kind == "labels":
        labels, mask = flip_labels(labels, noise.rate, classes, rng, groups)
    elif noise.kind == "features":
        x, mask = disturb_features(x, noise.rate, noise.sigma * unit, rng, groups)
    else:
        mask = _nobody(len(x), groups)
    return x, labels, mask


def _targets(labels: list[np.ndarray], source: Source) -> list[np.ndarray]:
    """One-hot labels, or targets standardised with the training set's statistics, of shape (n, outputs)."""
    if source.kind == "classification":
        return [np.eye(len(source.classes))[part] for part in labels]
    return _scale([part[:, np.newaxis] for part in labels])


def _tensor(values: np.ndarray, dataset: str) -> torch.Tensor:
    """Copy into memory of its own, so that no part can be reached from another."""
    import torch

    _check_numbers(values, dataset)
    return torch.tensor(values, dtype=torch.float32)


def _check_numbers(values: np.ndarray, dataset: str) -> None:
    if not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise UserError(f"data set '{dataset}' has features or targets that are missing or too large for float32")


def _revision(features: list[np.ndarray], labels: list[np.ndarray], rows: tuple[np.ndarray, ...]) -> str:
    """SHA-256 of features, labels and row numbers of each part in turn, as little-endian 64-bit numbers.

    Tokens are 16-bit numbers, and stay so.
    """
    digest = hashlib.sha256()
    for x, y, part in zip(features, labels, rows, strict=True):
        for block in np.array_split(x, len(x) // 4096 + 1):
            digest.update(block.astype("<u2" if block.dtype == np.uint16 else "<f8").tobytes())
        digest.update(y.astype(y.dtype.newbyteorder("<")).tobytes())
        digest.update(part.astype("<i8").tobytes())
    return digest.hexdigest()
