"""Frozen encoders: networks with published weights that turn images or texts into features, and are not trained.

An encoder is named by its id on the Hugging Face hub, and its files are read like those of data sets: from the mirror,
else from the cache, else from the network. `dvbench.problems.image_encoder` has those of images, networks of timm, and
`dvbench.problems.text_encoder` those of texts, networks of transformers. Weights are read from ``model.safetensors``
only, and no code of the hub is run.

Features of a row do not depend on the rows that are encoded with it, because all batches have the same shape: a batch
with fewer rows is filled up. Encoders compute on the processor, in float32. On another kind of processor features are
the same to rounding; the hash of the data is that of the rows and the encoder, and so is the same on all machines.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError, one_line
from dvbench.files import cache_folder, file_sha256
from dvbench.problems.feature_cache import Batch, read_or_encode, report
from dvbench.problems.hub import fetch_file
from dvbench.problems.source import Source

if TYPE_CHECKING:
    import torch

VERSION = 1  # of the preparation of images and texts; part of the hash of an encoder
WEIGHTS = "model.safetensors"
IMAGE_ENCODER = "timm/tf_efficientnet_lite0.in1k"
TEXT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
BLOCK_ROWS = 1024  # rows that are read at a time before they are encoded
PICKLED = {".bin", ".ckpt", ".pkl", ".pt", ".pth"}

Compute = Callable[[], np.ndarray]
Encode = Callable[[Sequence[Any]], Iterator[tuple[list[int], Compute]]]


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder whose files are there, but not loaded.

    Parameters
    ----------
    name : str
        Its id on the hub.
    noun : {"images", "texts"}
        What it encodes.
    sha256 : str
        Hash of its weights, its configuration and the preparation of its input.
    load : callable
        Loads the network. Returns a function of rows, uint8 images of shape (channels, height, width) or texts, that
        yields batches: the positions of its rows, and a function that encodes them to float32 of shape (rows, columns).
    """

    name: str
    noun: str
    sha256: str
    load: Callable[[], Encode]


def encode_source(source: Source, read: Callable[[np.ndarray], Sequence[Any]], encoder: Encoder) -> Source:
    """Replace the features of a data set by those of an encoder.

    Parameters
    ----------
    source : Source
    read : callable
        ``read(rows)`` reads rows as the encoder takes them.
    encoder : Encoder

    Returns
    -------
    Source
        Its rows are encoded when they are taken, and are standardised like columns of a table.
    """
    features = _Features(read, encoder)
    return replace(source, take=features, fingerprint=features.fingerprint, standardise=True)


def encode_rows(rows: Sequence[Any], encoder: Encoder) -> np.ndarray:
    """Features of rows: from the cache, else by encoding them.

    Parameters
    ----------
    rows : sequence
        Images or texts, as the encoder takes them.
    encoder : Encoder

    Returns
    -------
    numpy.ndarray of float32, shape (len(rows), columns)
    """
    return _Features(lambda numbers: [rows[number] for number in numbers.tolist()], encoder)(np.arange(len(rows)))


class _Features:
    """Takes features of rows: from the cache, else by encoding them."""

    def __init__(self, read: Callable[[np.ndarray], Sequence[Any]], encoder: Encoder) -> None:
        self.read, self.encoder = read, encoder
        self._keys: dict[int, bytes] = {}  # a row is read once to know its key

    def fingerprint(self, rows: np.ndarray) -> np.ndarray:
        """Hashes of rows and encoder, uint8 of shape (len(rows), 32)."""
        return np.frombuffer(b"".join(self._keys_of(rows)), dtype=np.uint8).reshape(len(rows), 32)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        keys = self._keys_of(rows)

        def batches(positions: Sequence[int]) -> Iterator[Batch]:
            done, encode = 0, self.encoder.load()
            show = report(f"{self.encoder.noun} with {self.encoder.name}", len(positions))
            for block in parts(positions, BLOCK_ROWS):
                for chosen, compute in encode(self.read(rows[block])):
                    yield [keys[block[position]] for position in chosen], compute
                    done += len(chosen)
                    show(done)

        return read_or_encode(cache_folder() / "features" / f"{self.encoder.sha256}.sqlite", keys, batches)

    def _keys_of(self, rows: np.ndarray) -> list[bytes]:
        unknown = [row for row in rows.tolist() if row not in self._keys]
        for block in parts(unknown, BLOCK_ROWS):
            for row, content in zip(block, self.read(np.array(block)), strict=True):
                self._keys[row] = _key(self.encoder.sha256, content)
        return [self._keys[row] for row in rows.tolist()]


def _key(encoder: str, content: Any) -> bytes:
    digest = hashlib.sha256(encoder.encode())
    if isinstance(content, str):
        digest.update(b"text" + content.encode())
    else:
        digest.update(f"image{content.shape}".encode() + content.tobytes())
    return digest.digest()


def parts(positions: Sequence[int], size: int) -> Iterator[list[int]]:
    """Divide positions into lists of ``size``; the last one may be shorter."""
    for start in range(0, len(positions), size):
        yield list(positions[start : start + size])


def filled(array: np.ndarray, rows: int) -> np.ndarray:
    """Repeat the first row of a batch until it has ``rows`` rows."""
    return np.ascontiguousarray(np.concatenate([array, np.repeat(array[:1], rows - len(array), axis=0)]))


def checked(features: torch.Tensor, rows: int) -> np.ndarray:
    """Features of the first rows of a batch, or a `UserError` if they are not rows of finite numbers."""
    if features.ndim != 2 or not features.isfinite().all():
        raise UserError(f"its output of shape {tuple(features.shape)} is no row of finite numbers for each input")
    return features[:rows].float().numpy()


def read_config(name: str) -> tuple[Path, dict[str, Any]]:
    """Path and content of an encoder's ``config.json``."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name, re.ASCII):
        raise UserError(
            f"encoder '{name}' is no id of the Hugging Face hub: write OWNER/NAME, such as {IMAGE_ENCODER} for images "
            f"or {TEXT_ENCODER} for texts"
        )
    path = fetch_file(name, "config.json")
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {one_line(error)}") from error
    if not isinstance(config, dict):
        raise UserError(f"cannot read {path}: it is no configuration of an encoder")
    return path, config


def check_flag(standardise: object) -> bool:
    """Check the parameter ``standardise`` of a data set."""
    if not isinstance(standardise, bool):
        raise UserError(f"standardise must be true or false, not {standardise!r}")
    return standardise


def kind_of(config: dict[str, Any]) -> str:
    """What an encoder is, for messages."""
    kind = config.get("architecture") or config.get("model_type")
    return f" (it is a '{kind}')" if isinstance(kind, str) else ""


def find_weights(name: str, config: Path) -> Path:
    """Path of an encoder's weights, beside its configuration."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        weights = fetch_file(name, WEIGHTS)
    except UserError as error:
        pickled = sorted(path.name for path in config.parent.iterdir() if path.suffix in PICKLED)
        absent = isinstance(error.__cause__, EntryNotFoundError) and not isinstance(
            error.__cause__, LocalEntryNotFoundError
        )
        if not pickled and not absent:
            raise
        instead = f", only {pickled[0]}" if pickled else ""
        raise UserError(
            f"encoder '{name}' has no model.safetensors{instead}: reading other formats can run code, so choose an "
            "encoder that has it, or convert its weights"
        ) from error
    if weights.parent != config.parent:
        raise UserError(
            f"{config} has no model.safetensors beside it, but {weights.parent} has: put both in one folder"
        )
    return weights


def sha256_of(files: list[Path], size: int) -> str:
    """Hash the files of an encoder and the size of its input."""
    digests = [_file_hash(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    return hashlib.sha256(json.dumps([VERSION, size, *digests]).encode()).hexdigest()


@lru_cache(maxsize=16)
def _file_hash(path: Path, modified: int, size: int) -> str:
    """Hash a file, once in a process for each modification time and size."""
    return file_sha256(path)


@contextmanager
def errors_of(name: str) -> Iterator[None]:
    """Turn any error of a network into one line: its files are data of other authors."""
    try:
        yield
    except Exception as error:
        raise UserError(f"encoder '{name}' cannot be used: {one_line(error)}") from error
