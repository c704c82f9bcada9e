"""Data sets of the Hugging Face hub, by hub id: from a local mirror, else the cache, else the network.

The environment variable ``DVBENCH_MIRROR`` names the mirror, a folder of ``<hub id>/train-*.parquet`` and
``<hub id>/test-*.parquet``, at any depth below the hub id as the hub itself has them. Images are decoded when they are
taken, not before. Without network and mirror this fails at once: the hub's own client retries for half a minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvbench.datasets.sources import Source
from dvbench.errors import UserError

if TYPE_CHECKING:
    import datasets

MIRROR = "DVBENCH_MIRROR"
PATIENCE_SECONDS = 5.0


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
            raise UserError(
                f"cannot read {hub_id} in the mirror ({files['train'][0]}): {_first_line(error)}"
            ) from error
        raise UserError(
            f"cannot get {hub_id}: no mirror has it, and the Hugging Face hub gave no answer ({_first_line(error)}); "
            f"pass --mirror DIR or set {MIRROR} to a folder that has it"
        ) from error


def _mirrored(hub_id: str) -> dict[str, list[str]]:
    """Parquet files of each split in the mirror; empty if there is no mirror or it lacks one of them."""
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return {}
    if not Path(mirror).is_dir():
        raise UserError(f"{MIRROR} is {mirror}, which is not a folder: pass --mirror DIR or set it to one")
    folder = Path(mirror, hub_id)
    files = {split: sorted(map(str, folder.rglob(f"{split}-*.parquet"))) for split in ("train", "test")}
    return files if all(files.values()) else {}


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
    """Switch off progress bars and warnings, and back on afterwards if they were on."""
    import datasets
    import huggingface_hub.utils as hub

    libraries = [(datasets, datasets.logging), (hub, hub.logging)]
    before = [(bars.are_progress_bars_disabled(), logging.get_verbosity()) for bars, logging in libraries]
    for bars, logging in libraries:
        bars.disable_progress_bars()
        logging.set_verbosity_error()
    try:
        yield
    finally:
        for (bars, logging), (disabled, verbosity) in zip(libraries, before, strict=True):
            logging.set_verbosity(verbosity)
            if not disabled:
                bars.enable_progress_bars()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
