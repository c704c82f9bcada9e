"""Real data -> a `Problem`: rows drawn, features scaled, noise injected.

One file a data set, holding a function named like the file that returns a `Source`. Everything else is done here, once
and for all data sets: only the training set's statistics are used for scaling, and only the training set is disturbed.
Texts are neither scaled nor disturbed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source
from dvbench.settings import DatasetSettings, ProblemSettings

if TYPE_CHECKING:
    import torch

    from dvbench.problems.problem import Problem, Split
    from dvbench.settings import Groups, Noise, Sizes


def load_source(dataset: DatasetSettings | str, group: str | None = None) -> Source:
    """Load a data set.

    Parameters
    ----------
    dataset : DatasetSettings or str
        A registered name or ``module:function``, with its parameters; a text is read by `DatasetSettings.parse`.
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
    from dvbench.registry import find

    settings = DatasetSettings.parse(dataset) if isinstance(dataset, str) else dataset
    if group is not None and settings.path is None:
        raise UserError(f"'{settings}' is no table: only a CSV file can be grouped by a column")
    entry = find("datasets", settings.name)
    entry.check_parameters(settings.params)
    params = settings.params | ({} if group is None else {"group": group})
    try:
        source = entry.load()(**params)
    except TypeError as error:
        with_params = f"with the parameters {', '.join(params)}" if params else "without arguments"
        raise UserError(f"data set '{settings}' cannot be called {with_params}: {error}") from error
    if not isinstance(source, Source):
        raise UserError(f"data set '{settings}' must be a function that returns a dvbench.problems.source.Source")
    return source


def build_problem(
    dataset: DatasetSettings | str, sizes: Sizes, noise: Noise, seed: int, groups: Groups | None = None
) -> Problem:
    """Build a valuation problem.

    Rows depend on the data set, the sizes and the seed alone, so every noise is injected into the same training set.

    Parameters
    ----------
    dataset : DatasetSettings or str
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

    settings = DatasetSettings.parse(dataset) if isinstance(dataset, str) else dataset
    name, key = str(settings), _identity(settings)
    source = load_source(settings, None if groups is None else groups.column)
    check_noise(noise, source, name)
    if groups is not None:
        check_groups(groups, source, name)
    rows = draw_rows(source, sizes, generator(key, seed, "split"))
    players = None
    if groups is not None:
        players = assign(groups, source, rows[0], name, generator(key, seed, "groups"))
    return assemble(source, key, rows, noise, seed, players)


def build_from_settings(settings: ProblemSettings, seed: int) -> Problem:
    """Build the problem of a suite or a result; see `build_problem`."""
    return build_problem(settings.dataset, settings.sizes, settings.noise, seed, settings.groups)


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
        Its identity, which random generators are keyed by.
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
        dataset=dataset,
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
        xs[0], ys[0], noise, unit, len(source.classes), players, generator(dataset, seed, "noise", noise.kind)
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


def _identity(dataset: DatasetSettings) -> str:
    """What generators are keyed by: the same for every spelling of a registered name."""
    from dvbench.registry import find

    return dataset.model_copy(update={"name": find("datasets", dataset.name).name}).identity


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
