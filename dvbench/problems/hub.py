"""Read data sets of the Hugging Face hub: from a local mirror, else from the cache, else from the network.

The environment variable ``DVBENCH_MIRROR`` names the mirror: a folder of ``<hub id>/train-*.parquet`` and
``<hub id>/test-*.parquet``, which may lie in subfolders of the hub id, as on the hub. Images are decoded when rows are
read, and texts are streamed. Without mirror and network, reading fails after one request; the hub's own client would
retry for half a minute.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.source import Source

if TYPE_CHECKING:
    import datasets

MIRROR = "DVBENCH_MIRROR"
TIMEOUT_SECONDS = 5.0  # of the request that tests whether the hub can be reached
ANY_CONFIG = ("", "data", "sample")  # folders of a data set in the mirror whose files may belong to any config
UNREADABLE = "cannot read {name}: {reason}"
UNAVAILABLE = (
    "cannot get {name}: no mirror has it, and the Hugging Face hub gave no answer ({reason}); "
    f"pass --mirror DIR or set {MIRROR} to a folder that has it"
)


def read_images(
    hub_id: str, image: str, label: str, splits: tuple[str, str] = ("train", "test"), mode: str | None = None
) -> Source:
    """Read an image classification data set that has an official test split.

    Parameters
    ----------
    hub_id : str
        Such as ``"uoft-cs/cifar10"``.
    image, label : str
        Names of the columns of images and labels.
    splits : tuple of str
        Names of the splits that training and test points are drawn from.
    mode : str, optional
        Such as ``"RGB"``: what all images are converted to, if some are in colours and others are not.

    Returns
    -------
    Source
        Points of shape (channels, height, width), float32 in [0, 1]. The rows of the train split come first, then those
        of the test split.

    Raises
    ------
    UserError
        If the data set is not available.
    """
    import datasets

    train, test = load(hub_id, splits)
    rows_of_both = datasets.concatenate_datasets([train, test])
    with errors_of_dataset(hub_id, mirrored_files(hub_id, splits[0])):
        labels, classes = np.array(rows_of_both[label][:], dtype=np.int64), tuple(rows_of_both.features[label].names)

    def take(rows: np.ndarray) -> np.ndarray:
        pictures = rows_of_both[rows.tolist()][image]
        pixels = np.stack([np.asarray(picture if mode is None else picture.convert(mode)) for picture in pictures])
        pixels = pixels[:, np.newaxis] if pixels.ndim == 3 else np.moveaxis(pixels, -1, 1)
        return pixels.astype(np.float32) / np.float32(255)

    return Source(
        "classification",
        labels=labels,
        take=take,
        classes=classes,
        standardise=False,
        test_rows=np.arange(len(train), len(rows_of_both)),
    )


def load(hub_id: str, splits: Sequence[str] = ("train", "test")) -> list[datasets.Dataset]:
    """Load splits of a data set, without progress bars and log messages.

    Parameters
    ----------
    hub_id : str
    splits : sequence of str
        By default the train and the test split.

    Returns
    -------
    list of datasets.Dataset
        One for each split.

    Raises
    ------
    UserError
        If the data set is neither in the mirror nor in the cache and the hub cannot be reached, or if it cannot be
        read.
    """
    import datasets

    files = _mirrored_splits(hub_id, splits)
    with errors_of_dataset(hub_id, files.get(splits[0], ())), _quiet():
        if files:
            with _offline():
                loaded = datasets.load_dataset("parquet", data_files=files)
        else:
            loaded = _load_from_hub(hub_id)
        return [loaded[split] for split in splits]


def stream(hub_id: str, columns: tuple[str, ...], split: str, config: str | None = None) -> Iterator[dict[str, Any]]:
    """Read the rows of a split one after the other; only the rows that are read are downloaded.

    Parameters
    ----------
    hub_id : str
    columns : tuple of str
        Columns to read.
    split : str
        Such as ``"train"``.
    config : str, optional
        Name of a config of the data set on the hub, such as ``"wikitext-2-v1"``.

    Yields
    ------
    dict
        Column names and values of a row.

    Raises
    ------
    UserError
        If the data set is not in the mirror and the hub cannot be reached, or if it cannot be read, or has no such
        column.
    """
    files = mirrored_files(hub_id, split, config)
    with errors_of_dataset(hub_id, files):
        with _quiet():
            rows = _stream_files("parquet", files) if files else _stream_from_hub(hub_id, split, config)
        yield from _select_columns(rows, columns, hub_id)


def stream_file(
    path: Path, builder: str, columns: tuple[str, ...], options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Read the rows of the user's file one after the other.

    Parameters
    ----------
    path : Path
    builder : str
        Name of the builder of `datasets` that reads the file, such as ``"csv"``.
    columns : tuple of str
        Columns to read.
    options : dict
        Options of the builder.

    Yields
    ------
    dict
        Column names and values of a row.

    Raises
    ------
    UserError
        If the file cannot be read, or has no such column.
    """
    with _errors_in_one_line(UNREADABLE, str(path)):
        with _quiet():
            rows = _stream_files(builder, [path], **options)
        yield from _select_columns(rows, columns, str(path))


def fetch_file(hub_id: str, name: str) -> Path:
    """Get the local path of one file of a model: in the mirror, else in the cache, else downloaded from the hub.

    Parameters
    ----------
    hub_id : str
        Such as ``"openai-community/gpt2"``.
    name : str
        Such as ``"vocab.json"``.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If the file is neither in the mirror nor in the cache and cannot be downloaded.
    """
    mirror = mirror_folder()
    if mirror is not None and (mirror / hub_id / name).is_file():
        return mirror / hub_id / name
    with _errors_in_one_line(UNAVAILABLE, f"{hub_id}/{name}"), _quiet():
        return _fetch_from_hub(hub_id, name)


def mirrored_files(hub_id: str, split: str, config: str | None = None) -> list[Path]:
    """Parquet files of a split in the mirror, in the order of their paths.

    Parameters
    ----------
    hub_id, split : str
    config : str, optional
        Only files in folders of this name. If there are none, the files in the data set's folder, in ``data`` or in
        ``sample``, because a folder with another name may hold another config. By default all files of the split.

    Returns
    -------
    list of Path
        Empty if no mirror is set or it lacks the files.
    """
    mirror = mirror_folder()
    if mirror is None:
        return []
    folder = mirror / hub_id
    files = sorted(folder.rglob(f"{split}-*.parquet"))
    if config is None:
        return files
    files_of_config = [path for path in files if config in path.relative_to(folder).parts[:-1]]
    return files_of_config or [path for path in files if path.parent in {folder / name for name in ANY_CONFIG}]


def _select_columns(rows: Iterator[dict[str, Any]], columns: tuple[str, ...], name: str) -> Iterator[dict[str, Any]]:
    for row in _read_quietly(rows):
        if missing := [column for column in columns if column not in row]:
            raise UserError(f"{name} has no column '{missing[0]}': it has {', '.join(row)}")
        yield {column: row[column] for column in columns}


def _read_quietly(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Read rows in blocks: `_quiet` takes time to switch, and must not silence the code that uses the rows."""
    while True:
        with _quiet():
            block = list(islice(rows, 100))
        if not block:
            return
        yield from block


def mirror_folder() -> Path | None:
    """Folder of the mirror, or None if none is set; a `UserError` if it is no folder."""
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return None
    if not Path(mirror).is_dir():
        raise UserError(f"{MIRROR} is {mirror}, which is not a folder: pass --mirror DIR or set it to one")
    return Path(mirror)


def _mirrored_splits(hub_id: str, splits: Sequence[str]) -> dict[str, list[str]]:
    """Parquet files of splits in the mirror; empty if no mirror is set or it lacks one split."""
    files = {split: list(map(str, mirrored_files(hub_id, split))) for split in splits}
    return files if all(files.values()) else {}


def _stream_files(builder: str, files: list[Path], **options: Any) -> Iterator[dict[str, Any]]:
    import datasets

    with _offline():
        names = list(map(str, files))
        return iter(datasets.load_dataset(builder, data_files=names, split="train", streaming=True, **options))


def _stream_from_hub(hub_id: str, split: str, config: str | None) -> Iterator[dict[str, Any]]:
    import datasets
    from huggingface_hub import HfApi

    HfApi().dataset_info(hub_id, timeout=TIMEOUT_SECONDS)
    return iter(datasets.load_dataset(hub_id, config, split=split, streaming=True))


def _fetch_from_hub(hub_id: str, name: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name, local_files_only=True))
    except (OSError, ValueError):  # not in the cache
        HfApi().model_info(hub_id, timeout=TIMEOUT_SECONDS)
    return Path(hf_hub_download(hub_id, name))


def _load_from_hub(hub_id: str) -> datasets.DatasetDict:
    import datasets
    from huggingface_hub import HfApi

    try:
        with _offline():
            return datasets.load_dataset(hub_id)
    except (OSError, ValueError):  # not in the cache
        HfApi().dataset_info(hub_id, timeout=TIMEOUT_SECONDS)
    return datasets.load_dataset(hub_id)


@contextmanager
def _offline() -> Iterator[None]:
    """Switch off network access of `datasets`, which has no argument for it and reads its variable at import only."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off progress bars and log messages of the hub's libraries, and restore their settings afterwards.

    No error is lost, because the libraries raise what they log.
    """
    import datasets
    import huggingface_hub.utils as hub

    libraries = [(datasets, datasets.logging), (hub, hub.logging)]
    before = [(bars.are_progress_bars_disabled(), log.get_verbosity()) for bars, log in libraries]
    for bars, log in libraries:
        bars.disable_progress_bars()
        log.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        for (bars, log), (disabled, verbosity) in zip(libraries, before, strict=True):
            log.set_verbosity(verbosity)
            if not disabled:
                bars.enable_progress_bars()


@contextmanager
def errors_of_dataset(hub_id: str, files: Sequence[object]) -> Iterator[None]:
    """Turn errors into one line: that of the first mirrored file if there are any, else that of the hub."""
    template, name = (UNREADABLE, f"{hub_id} in the mirror ({files[0]})") if files else (UNAVAILABLE, hub_id)
    with _errors_in_one_line(template, name):
        yield


@contextmanager
def _errors_in_one_line(template: str, name: str) -> Iterator[None]:
    """Turn any error into a `UserError` with the first line of its message."""
    try:
        yield
    except UserError:
        raise
    # The readers and the client raise errors of many families (pyarrow, httpx, OSError), which change between versions.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(template.format(name=name, reason=reason)) from error
