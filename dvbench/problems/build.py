"""Build a `Problem` from a data set: draw rows, scale features, inject noise.

A data set only returns a `Source`; see `dvbench.problems.source`. Features and targets are scaled with statistics of
the training set, and noise is injected into the training set, and into the validation set only if that is asked for.
Texts are neither scaled nor disturbed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source
from dvbench.settings import DatasetSettings, ProblemSettings

if TYPE_CHECKING:
    import torch

    from dvbench.problems.problem import Problem, Split
    from dvbench.settings import Groups, Imbalance, Noise, Sizes


def load_source(dataset: DatasetSettings | str, group: str | None = None) -> Source:
    """Load a data set.

    Parameters
    ----------
    dataset : DatasetSettings or str
        A registered name or ``module:function``, with its parameters; a string is read by `DatasetSettings.parse`.
    group : str, optional
        Column of a table that holds the group of each row.

    Returns
    -------
    Source

    Raises
    ------
    UserError
        If the data set is not known, or has no such parameter, or cannot be read.
    """
    from dvbench.registry import find

    settings = DatasetSettings.parse(dataset) if isinstance(dataset, str) else dataset
    entry = find("datasets", settings.name)
    if group is not None and "group" not in {parameter.name for parameter in entry.definition.parameters or ()}:
        raise UserError(f"'{settings}' is not a table: only a table of a file or of OpenML can be grouped by a column")
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
    dataset: DatasetSettings | str,
    sizes: Sizes,
    noise: Noise,
    seed: int,
    groups: Groups | None = None,
    imbalance: Imbalance | None = None,
) -> Problem:
    """Build a valuation problem.

    The rows of the three sets depend only on the data set, the sizes and the seed, so that every kind of noise is
    injected into the same training set.

    Parameters
    ----------
    dataset : DatasetSettings or str
        As in `load_source`.
    sizes : Sizes
        Number of points of each set. If the data set has fewer rows, the sets shrink in proportion, except sets of
        texts.
    noise : Noise
        Noise injected into the training set. The unit of ``sigma`` is the standard deviation of each column of a table,
        or of all pixels of images, over the training set.
    seed : int
        Seed of the split, the noise and random groups.
    groups : Groups, optional
        Subsets that are the players; by default the points are.
    imbalance : Imbalance, optional
        Classes that are made rare in the training set.

    Returns
    -------
    Problem

    Raises
    ------
    UserError
        If the data set is not available, or does not allow this noise or these groups, or has too few rows, or if a
        group is empty.
    """
    from dvbench.problems.groups import assign, check_groups
    from dvbench.problems.noise import thin_classes
    from dvbench.problems.splits import draw_rows
    from dvbench.randomness import generator

    settings = DatasetSettings.parse(dataset) if isinstance(dataset, str) else dataset
    name, key = str(settings), _identity(settings)
    source = load_source(settings, None if groups is None else groups.column)
    check_noise(noise, source, name)
    if groups is not None:
        check_groups(groups, source, name)
    rows = draw_rows(source, sizes, generator(key, seed, "split"))
    if imbalance is not None:
        if source.kind != "classification":
            raise UserError(f"data set '{name}' has no classes that could be made rare: leave imbalance out")
        rng = generator(key, seed, "imbalance")
        left = thin_classes(source.labels[rows[0]], imbalance.classes, imbalance.keep, rng)
        rows = rows[0][left], *rows[1:]
    players = None
    if groups is not None:
        players = assign(groups, source, rows[0], name, generator(key, seed, "groups"))
    return assemble(source, key, rows, noise, seed, players)


def build_from_settings(settings: ProblemSettings, seed: int) -> Problem:
    """Build the problem of a suite or a result; see `build_problem`."""
    return build_problem(settings.dataset, settings.sizes, settings.noise, seed, settings.groups, settings.imbalance)


def check_noise(noise: Noise, source: Source, dataset: str) -> None:
    """Raise a `UserError` if this noise cannot be injected into a data set of this kind."""
    if noise.kind == "labels" and source.kind == "regression":
        raise UserError(f"data set '{dataset}' is a regression, which has no labels to flip: use feature noise")
    if noise.kind != "none" and source.kind == "language":
        raise UserError(f"data set '{dataset}' holds texts, into which no noise is injected: use noise of kind 'none'")


def assemble(
    source: Source,
    dataset: str,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    noise: Noise,
    seed: int,
    players: np.ndarray | None = None,
) -> Problem:
    """Build a problem from given rows.

    Parameters
    ----------
    source : Source
    dataset : str
        Identity of the data set, a part of the keys of random generators.
    rows : tuple of three numpy.ndarray of int
        Row numbers of the training, validation and hidden test set.
    noise : Noise
    seed : int
        Seed of the noise.
    players : numpy.ndarray of int, shape (n_train,), optional
        Player of each training point; by default every point is a player.

    Returns
    -------
    Problem
    """
    from dvbench.problems.problem import Problem

    raw = [source.take(numbers) for numbers in rows]
    labels = [source.labels[numbers] for numbers in rows]
    if source.kind == "language":
        splits, corrupted = _text_splits(raw, labels, source, dataset), _none_corrupted(len(raw[0]), players)
    else:
        splits, corrupted = _point_splits(raw, labels, source, dataset, noise, seed, players)
    return Problem(
        dataset=dataset,
        kind=source.kind,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        rows=rows[0],
        corrupted=corrupted,
        noise=noise,
        seed=seed,
        revision=_revision(raw if source.fingerprint is None else map(source.fingerprint, rows), labels, rows),
        classes=source.classes,
        groups=players,
        vocabulary=source.vocabulary,
    )


def _point_splits(
    raw: list[np.ndarray],
    labels: list[np.ndarray],
    source: Source,
    dataset: str,
    noise: Noise,
    seed: int,
    players: np.ndarray | None,
) -> tuple[list[Split], np.ndarray]:
    """Scale features and targets, and inject noise; returns splits and the mask of noisy players."""
    from dvbench.problems.problem import Split
    from dvbench.randomness import generator

    for values in (*raw, *labels):
        _check_numbers(values, dataset)
    raw = _projected(raw, source.components, dataset) if source.components else raw
    xs, unit = (standardised(raw), 1.0) if source.standardise else (raw, float(raw[0].std(dtype=np.float64)))
    classes = len(source.classes)
    train_x, train_y, corrupted = _disturb(
        xs[0], labels[0], noise, unit, classes, players, generator(dataset, seed, "noise", noise.kind)
    )
    labels = [train_y, *labels[1:]]
    if noise.validation:
        rng = generator(dataset, seed, "noise", "validation")
        labels[1] = _disturb(xs[1], labels[1], noise, unit, classes, None, rng)[1]
    xs, ys = [train_x, *xs[1:]], _targets(labels, source)
    splits = [Split(_tensor(x, dataset), _tensor(y, dataset)) for x, y in zip(xs, ys, strict=True)]
    return splits, corrupted


def _text_splits(raw: list[np.ndarray], starts: list[np.ndarray], source: Source, dataset: str) -> list[Split]:
    """Splits of tokens, which share no memory, and the positions where the loss starts."""
    import torch

    from dvbench.problems.perplexity import PADDING
    from dvbench.problems.problem import Split

    for tokens in raw:
        if tokens.dtype != np.uint16 or tokens.ndim != 2:
            raise UserError(f"data set '{dataset}' must return tokens as uint16 of shape (texts, length)")
        blocks = np.array_split(tokens, len(tokens) // 4096 + 1)
        if any(((block >= source.vocabulary) & (block != PADDING)).any() for block in blocks):
            raise UserError(f"data set '{dataset}' has tokens that are not in its vocabulary of {source.vocabulary}")
    # Copy arrays that are views, because a problem must not share memory with its source.
    owned = [np.require(tokens, requirements=["C", "O", "W"]) for tokens in raw]
    return [
        Split(torch.from_numpy(tokens), torch.tensor(positions[:, np.newaxis], dtype=torch.float32))
        for tokens, positions in zip(owned, starts, strict=True)
    ]


def _none_corrupted(points: int, groups: np.ndarray | None) -> np.ndarray:
    """Mask of corrupted players if no noise is injected."""
    return np.zeros(points if groups is None else groups.max() + 1, dtype=bool)


def _identity(dataset: DatasetSettings) -> str:
    """Identity of a data set in the keys of generators.

    It is the same for every spelling of a registered name, and with or without a parameter that equals its default.
    """
    from dvbench.registry import find

    entry = find("datasets", dataset.name)
    if not dataset.params:
        return DatasetSettings(name=entry.name).identity  # without reading the source for defaults
    defaults = {parameter.name: parameter.default for parameter in entry.definition.parameters or ()}
    params = {name: value for name, value in dataset.params.items() if not _is_default(value, defaults.get(name))}
    return DatasetSettings(name=entry.name, params=params).identity


def _is_default(value: object, default: str | None) -> bool:
    """Whether a value equals a default that is given as source text."""
    try:
        return default is not None and bool(ast.literal_eval(default) == value)
    except (ValueError, SyntaxError):  # the default is an expression
        return False


def standardised(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Standardise columns with the statistics of the first part, the training set. A constant column becomes 0."""
    mean, deviation = parts[0].mean(axis=0, dtype=np.float64), parts[0].std(axis=0, dtype=np.float64)
    # By rounding, the deviation of a constant column may be above 0, and that of a column of tiny numbers may be 0.
    deviation = np.where((np.ptp(parts[0], axis=0) == 0) | (deviation == 0), 1.0, deviation)
    return [(part - mean) / deviation for part in parts]


def _projected(parts: list[np.ndarray], components: int, dataset: str) -> list[np.ndarray]:
    """Replace columns by their principal components in the first part, the training set."""
    from sklearn.decomposition import PCA

    most = min(parts[0].shape)
    if components > most:
        rows, columns = parts[0].shape
        raise UserError(
            f"data set '{dataset}' has at most {most} components, because it has {rows} training points and {columns} "
            f"features: ask for fewer than {components}"
        )
    pca = PCA(components, svd_solver="full").fit(parts[0].astype(np.float64))
    return [pca.transform(part.astype(np.float64)) for part in parts]


def _disturb(
    x: np.ndarray,
    labels: np.ndarray,
    noise: Noise,
    unit: float,
    classes: int,
    groups: np.ndarray | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inject noise; returns features and labels of the training set and the mask of corrupted players."""
    from dvbench.problems.noise import disturb_features, flip_labels, grade_labels, redraw_labels, shift_labels

    if noise.kind == "labels" and noise.draw == "graded":
        if groups is None:
            raise UserError("labels with draw = 'graded' are those of groups, not of points: group the points")
        labels, mask = grade_labels(labels, noise.rate, classes, rng, groups)
    elif noise.kind == "labels" and noise.draw != "other":
        if groups is not None:
            raise UserError(f"labels with draw = '{noise.draw}' are those of points, not of groups: leave draw out")
        draw = redraw_labels if noise.draw == "any" else shift_labels
        try:
            labels, mask = draw(labels, noise.rate, classes, rng)
        except ValueError as error:
            raise UserError(str(error)) from error
    elif noise.kind == "labels":
        labels, mask = flip_labels(labels, noise.rate, classes, rng, groups)
    elif noise.kind == "features":
        x, mask = disturb_features(x, noise.rate, noise.sigma * unit, rng, groups)
    else:
        mask = _none_corrupted(len(x), groups)
    return x, labels, mask


def _targets(labels: list[np.ndarray], source: Source) -> list[np.ndarray]:
    """One-hot labels, or targets standardised with the training set's statistics, of shape (n, outputs)."""
    if source.kind == "classification":
        return [np.eye(len(source.classes))[numbers] for numbers in labels]
    return standardised([targets[:, np.newaxis] for targets in labels])


def _tensor(values: np.ndarray, dataset: str) -> torch.Tensor:
    """Copy to a tensor with its own storage, so that no set can be reached from another."""
    import torch

    _check_numbers(values, dataset)
    return torch.tensor(values, dtype=torch.float32)


def _check_numbers(values: np.ndarray, dataset: str) -> None:
    if not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise UserError(f"data set '{dataset}' has features or targets that are missing or too large for float32")


def _revision(features: Iterable[np.ndarray], labels: list[np.ndarray], rows: tuple[np.ndarray, ...]) -> str:
    """SHA-256 of the features or their fingerprints, labels and row numbers of each set in turn.

    All are hashed as little-endian 64-bit numbers, except tokens, which are hashed as 16-bit numbers.
    """
    digest = hashlib.sha256()
    for x, y, numbers in zip(features, labels, rows, strict=True):
        for block in np.array_split(x, len(x) // 4096 + 1):
            digest.update(block.astype("<u2" if block.dtype == np.uint16 else "<f8").tobytes())
        digest.update(y.astype(y.dtype.newbyteorder("<")).tobytes())
        digest.update(numbers.astype("<i8").tobytes())
    return digest.hexdigest()
