"""The data sets of OpenDataVal, read by its own loaders."""

from __future__ import annotations

import shutil
import warnings
from contextlib import redirect_stderr, redirect_stdout
from os import devnull
from pathlib import Path
from typing import Any

import numpy as np

from dvbench.errors import UserError, one_line, type_name, unknown
from dvbench.files import cache_folder, one_process_at_a_time
from dvbench.problems.encoders import check_flag
from dvbench.problems.source import Source
from dvbench.randomness import isolated_generators


def opendataval(name: str | None = None, standardise: bool = True) -> Source:
    """OpenDataVal: a data set of OpenDataVal, as its own loader returns it; classification or regression.

    On the command line and in suites it is written ``opendataval:NAME``, such as ``opendataval:adult``. OpenDataVal
    downloads a data set where it is used first, which needs a network, and keeps it in dvbench's cache; embeddings are
    computed then. Rows, features and labels are those of OpenDataVal's ``DataFetcher``. Features of tables and
    embeddings are standardised afterwards, unless ``standardise`` is false; images are not.

    Without a network: iris, digits, breast_cancer, diabetes, gaussian_classifier, gaussian_classifier_high_dim. Tables:
    adult, election, 2dplanes, electricity, MiniBooNE, pol, fried, nomao, creditcard, wave_energy, lowbwt, mv, stock,
    echoMonths, challenge-iris. Images: mnist, fashion, cifar10, cifar100. Embeddings: cifar10-embeddings,
    stl10-embeddings, svhn-embeddings, bbc-embeddings, imdb-embeddings; OpenDataVal 1.3.0 reads those of stl10 and svhn
    only in the process that computed them. Refused are bbc and imdb, which are texts, and linnerud, which has three
    targets.

    Parameters
    ----------
    name : str
        Name in OpenDataVal's registry. It is required.
    standardise : bool
        Whether features of tables and embeddings are standardised with statistics of the training set.

    References
    ----------
    K. F. Jiang, W. Liang, J. Zou and Y. Kwon, "OpenDataVal: a Unified Benchmark for Data Valuation", NeurIPS 2023 Track
    on Datasets and Benchmarks, arXiv:2306.10577.
    """
    from opendataval.dataloader import DataFetcher

    names = sorted(DataFetcher.datasets_available())
    if name is None:
        raise UserError(
            "a data set of OpenDataVal needs its name: write it as opendataval:NAME, such as opendataval:iris"
        )
    if name not in names:
        raise unknown("data set of OpenDataVal", str(name), names, "See 'dvbench describe opendataval'.")
    with one_process_at_a_time(f"opendataval {name}"):  # OpenDataVal would read what another process has half written
        parts = _loaded(name)
    half = len(parts) // 2
    features, labels = parts[:half], [np.asarray(part) for part in parts[half:]]
    numbers, classes = _targets(name, np.concatenate(labels), one_hot=labels[0].ndim == 2)
    sizes = [len(part) for part in features]
    shape = _take(name, features[0], np.arange(1)).shape[1:]
    return Source(
        kind="classification" if classes else "regression",
        labels=numbers,
        take=lambda rows: _take_from(name, features, np.asarray(rows)),
        classes=classes,
        standardise=check_flag(standardise) and len(shape) == 1,
        test_rows=np.arange(sum(sizes[:-1]), sum(sizes)) if half > 1 else None,
    )


def _loaded(name: str) -> tuple[Any, ...]:
    """What OpenDataVal's loader returns: features and labels, or those of its training, validation and test set.

    A download that fails leaves an empty file, which OpenDataVal would take for the data from then on.
    """
    from opendataval.dataloader import DataFetcher

    folder = cache_folder() / "opendataval"
    of_set, before = folder / name, (folder / name).exists()
    try:
        # Some data sets are drawn from numpy's global generator: the same rows must come in every call.
        with (
            isolated_generators(0),
            warnings.catch_warnings(),
            Path(devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            fetcher = DataFetcher(name, cache_dir=str(folder))
    except (Exception, SystemExit) as error:  # failures of networks, servers and parsers are of many families
        if not before:
            shutil.rmtree(of_set, ignore_errors=True)
        kept = f", and remove {of_set} if it is incomplete" if before else ""
        raise UserError(
            f"OpenDataVal cannot load '{name}' ({type_name(error)}: {one_line(error)}): it is downloaded where it is "
            f"used first, so use it once with a network{kept}"
        ) from error
    if hasattr(fetcher, "covar"):
        return fetcher.covar, fetcher.labels
    return fetcher.x_train, fetcher.x_valid, fetcher.x_test, fetcher.y_train, fetcher.y_valid, fetcher.y_test


def _targets(name: str, labels: np.ndarray, *, one_hot: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers and names, or targets and no names."""
    from opendataval.dataloader.register import Register

    if Register.Datasets[name].one_hot and one_hot:
        return labels.argmax(axis=1).astype(np.int64), tuple(str(number) for number in range(labels.shape[1]))
    targets = labels.reshape(len(labels), -1).astype(np.float64)
    if targets.shape[1] != 1:
        raise UserError(f"OpenDataVal's '{name}' has {targets.shape[1]} targets, but one is needed: use another")
    return targets[:, 0], ()


def _take_from(name: str, parts: tuple[Any, ...], rows: np.ndarray) -> np.ndarray:
    """Features of rows that are numbered through all parts."""
    if len(parts) == 1:
        return _take(name, parts[0], rows)
    every: np.ndarray = np.concatenate([_take(name, part, np.arange(len(part))) for part in parts])
    chosen: np.ndarray = every[rows]
    return chosen


def _take(name: str, features: Any, rows: np.ndarray) -> np.ndarray:
    """Features of rows of an array, or of a data set that is read point by point."""
    if isinstance(features, np.ndarray):
        chosen: np.ndarray = features[rows].astype(np.float64)
        return chosen
    points = [features[int(row)] for row in rows]
    if points and isinstance(points[0], str):
        raise UserError(f"OpenDataVal's '{name}' holds texts: use opendataval:{name}-embeddings")
    return np.stack([np.asarray(point) for point in points])
