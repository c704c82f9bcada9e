"""Data sets of the Hugging Face hub, by hub id: from a local mirror, else the cache, else the network.

The environment variable ``DVBENCH_MIRROR`` names the mirror, a folder of ``<hub id>/train-*.parquet`` and
``<hub id>/test-*.parquet``, at any depth below the hub id as the hub itself has them. Images are decoded when they are
taken, not before, and texts are streamed. Without network and mirror this fails at once: the hub's own client retries
for half a minute.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
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
PATIENCE_SECONDS = 5.0
ANY_CONFIG = ("", "data", "sample")  # folders of a data set in the mirror that may hold a config of any name


def read_images(hub_id: str, image: str, label: str) -> Source:
    """Image classification with an official test split.

    Parameters
    ----------
    hub_id : str
        Such as ``"uoft-cs/cifar10"``.
    image, label : str
        Names of its columns.

    Returns
    -------
    Source
        Points of shape (channels, height, width), float32 in [0, 1]. Rows count through the train split and then the
        test split.

    Raises
    ------
    UserError
        If the data set cannot be had.
    """
    import datasets

    splits = load(hub_id)
    both = datasets.concatenate_datasets([splits["train"], splits["test"]])

    def take(rows: np.ndarray) -> np.ndarray:
        pixels = np.stack([np.asarray(picture) for picture in both[rows.tolist()][image]])
        pixels = pixels[:, np.newaxis] if pixels.ndim == 3 else np.moveaxis(pixels, -1, 1)
        return pixels.astype(np.float32) / np.float32(255)

    return Source(
        "classification",
        labels=np.array(both[label][:], dtype=np.int64),
        take=take,
        classes=tuple(both.features[label].names),
        standardise=False,
        test_rows=np.arange(len(splits["train"]), len(both)),
    )


def load(hub_id: str) -> datasets.DatasetDict:
    """Load the train and test splits of a data set, in silence.

    Parameters
    ----------
    hub_id : str

    Returns
    -------
    datasets.DatasetDict

    Raises
    ------
    UserError
        If it is in no mirror and no cache and the hub cannot be reached, or if it cannot be read.
    """
    import datasets

    files = _mirrored(hub_id)
    try:
        with _quiet():
            if files:
                with _offline():
                    return datasets.load_dataset("parquet", data_files=files)
            return _load_from_hub(hub_id)
    # The readers and the client raise errors of many families (pyarrow, httpx, OSError), which change between versions.
    except Exception as error:
        if files:
            raise _unreadable(hub_id, files["train"][0], error) from error
        raise _unavailable(hub_id, error) from error


def stream(hub_id: str, columns: tuple[str, ...], split: str, config: str | None = None) -> Iterator[dict[str, Any]]:
    """Read the rows of a split one after the other; nothing is downloaded but what is read.

    Parameters
    ----------
    hub_id : str
    columns : tuple of str
        Which are wanted.
    split : str
        Such as ``"train"``.
    config : str, optional
        Part of the data set, as the hub calls it.

    Yields
    ------
    dict
        Column names and values.

    Raises
    ------
    UserError
        If it is in no mirror and the hub cannot be reached, or if it cannot be read, or has no such column.
    """
    files = mirrored_files(hub_id, split, config)
    try:
        with _quiet():
            rows = _stream_files("parquet", files) if files else _stream_from_hub(hub_id, split, config)
        yield from _chosen(rows, columns, hub_id)
    except UserError:
        raise
    except Exception as error:  # as in `load`
        raise (_unreadable(hub_id, files[0], error) if files else _unavailable(hub_id, error)) from error


def stream_file(
    path: Path, builder: str, columns: tuple[str, ...], options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Read the rows of a file of one's own one after the other.

    Parameters
    ----------
    path : Path
    builder : str
        Which reader of `datasets` reads it, such as ``"csv"``.
    columns : tuple of str
        Which are wanted.
    options : dict
        Of the reader.

    Yields
    ------
    dict
        Column names and values.

    Raises
    ------
    UserError
        If it cannot be read, or has no such column.
    """
    try:
        with _quiet():
            rows = _stream_files(builder, [path], **options)
        yield from _chosen(rows, columns, str(path))
    except UserError:
        raise
    except Exception as error:  # as in `load`
        raise UserError(f"cannot read {path}: {_first_line(error)}") from error


def fetch_file(hub_id: str, name: str) -> Path:
    """Find one file of a model: in the mirror, else in the cache, else on the hub.

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
        If it is nowhere.
    """
    mirror = _mirror()
    if mirror is not None and (mirror / hub_id / name).is_file():
        return mirror / hub_id / name
    try:
        with _quiet():
            return _fetch_from_hub(hub_id, name)
    except Exception as error:  # as in `load`
        raise _unavailable(f"{hub_id}/{name}", error) from error


def mirrored_files(hub_id: str, split: str, config: str | None = None) -> list[Path]:
    """Parquet files of a split in the mirror, in order of their names.

    Parameters
    ----------
    hub_id, split : str
    config : str, optional
        Files in folders of this name; without any, those in the data set's folder itself, in ``data`` or in ``sample``.
        A folder of another name may hold another config.

    Returns
    -------
    list of Path
        Empty if there is no mirror or it lacks them.
    """
    mirror = _mirror()
    if mirror is None:
        return []
    folder = mirror / hub_id
    found = sorted(folder.rglob(f"{split}-*.parquet"))
    if config is None:
        return found
    named = [path for path in found if config in path.relative_to(folder).parts[:-1]]
    return named or [path for path in found if path.parent in {folder / name for name in ANY_CONFIG}]


def _chosen(rows: Iterator[dict[str, Any]], columns: tuple[str, ...], what: str) -> Iterator[dict[str, Any]]:
    for row in _in_silence(rows):
        if missing := [column for column in columns if column not in row]:
            raise UserError(f"{what} has no column '{missing[0]}': it has {', '.join(row)}")
        yield {column: row[column] for column in columns}


def _in_silence(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows read some at a time: what runs in between is not silenced, and switching takes time."""
    while True:
        with _quiet():
            block = list(islice(rows, 100))
        if not block:
            return
        yield from block


def _mirror() -> Path | None:
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return None
    if not Path(mirror).is_dir():
        raise UserError(f"{MIRROR} is {mirror}, which is not a folder: pass --mirror DIR or set it to one")
    return Path(mirror)


def _mirrored(hub_id: str) -> dict[str, list[str]]:
    """Parquet files of each split in the mirror; empty if there is no mirror or it lacks one of them."""
    files = {split: list(map(str, mirrored_files(hub_id, split))) for split in ("train", "test")}
    return files if all(files.values()) else {}


def _stream_files(builder: str, files: list[Path], **options: Any) -> Iterator[dict[str, Any]]:
    import datasets

    with _offline():
        names = list(map(str, files))
        return iter(datasets.load_dataset(builder, data_files=names, split="train", streaming=True, **options))


def _stream_from_hub(hub_id: str, split: str, config: str | None) -> Iterator[dict[str, Any]]:
    import datasets
    from huggingface_hub import HfApi

    HfApi().dataset_info(hub_id, timeout=PATIENCE_SECONDS)
    return iter(datasets.load_dataset(hub_id, config, split=split, streaming=True))


def _fetch_from_hub(hub_id: str, name: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name, local_files_only=True))
    except (OSError, ValueError):  # not in the cache
        HfApi().model_info(hub_id, timeout=PATIENCE_SECONDS)
    return Path(hf_hub_download(hub_id, name))


def _load_from_hub(hub_id: str) -> datasets.DatasetDict:
    import datasets
    from huggingface_hub import HfApi

    try:
        with _offline():
            return datasets.load_dataset(hub_id)
    except (OSError, ValueError):  # not in the cache
        HfApi().dataset_info(hub_id, timeout=PATIENCE_SECONDS)
    return datasets.load_dataset(hub_id)


@contextmanager
def _offline() -> Iterator[None]:
    """Keep `datasets` from the network: it has no argument for it, and reads its environment variable at import."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off progress bars and what is logged, and back on afterwards if they were on: errors are raised too."""
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


def _unreadable(hub_id: str, file: object, error: Exception) -> UserError:
    return UserError(f"cannot read {hub_id} in the mirror ({file}): {_first_line(error)}")


def _unavailable(what: str, error: Exception) -> UserError:
    return UserError(
        f"cannot get {what}: no mirror has it, and the Hugging Face hub gave no answer ({_first_line(error)}); "
        f"pass --mirror DIR or set {MIRROR} to a folder that has it"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
