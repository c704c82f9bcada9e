"""Frozen encoders of images: networks of timm, whose features are what their classifier would be given.

A data set of images calls `encode_images` with its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.encoders import (
    IMAGE_ENCODER,
    Compute,
    Encode,
    Encoder,
    check_flag,
    checked,
    encode_source,
    errors_of,
    filled,
    find_weights,
    kind_of,
    parts,
    read_config,
    sha256_of,
)
from dvbench.problems.source import Source
from dvbench.randomness import isolated_generators

if TYPE_CHECKING:
    from pathlib import Path

    import torch

SIZE = 96
SIZES = (16, 1024)
BATCH = 32
# What weights need to know of their network; the rest of a configuration could name other files to load.
KEPT = ("classifier", "first_conv", "fixed_input_size", "input_size", "num_classes")


def encode_images(
    source: Source,
    encoder: str | None,
    size: int | None = None,
    standardise: bool | None = None,
    components: int | None = None,
) -> Source:
    """Replace images by the features of a frozen encoder.

    Parameters
    ----------
    source : Source
        Its points are images of shape (1 or 3, height, width), float32 in [0, 1], in steps of 1 / 255.
    encoder : str, optional
        Id of the encoder on the hub; by default the images stay as they are.
    size : int, optional
        Height and width that images are resized to, as in `image_encoder`.
    standardise : bool, optional
        Whether columns are standardised with the mean and the standard deviation of the training set. By default
        features of an encoder are, and pixels are not.
    components : int, optional
        Number of principal components of the training set that replace the features; by default all features stay.
        Evaluators that train many models are much faster with few features.

    Returns
    -------
    Source

    Raises
    ------
    UserError
        If there is a size or a number of components but no encoder, or the encoder is not available or does not fit.
    """
    if encoder is not None:
        take = source.take

        def read(rows: np.ndarray) -> list[np.ndarray]:
            return list(np.rint(take(rows) * 255).astype(np.uint8))

        source = encode_source(source, read, image_encoder(encoder, size))
        source = replace(source, components=_check_components(components))
    for name, value in (("encoder_size", size), ("encoder_components", components)):
        if encoder is None and value is not None:
            raise UserError(f"{name} = {value!r} needs an encoder, such as encoder = '{IMAGE_ENCODER}'")
    return replace(source, standardise=source.standardise if standardise is None else check_flag(standardise))


def image_encoder(name: str, size: int | None = None) -> Encoder:
    """Find an encoder of images.

    Parameters
    ----------
    name : str
        Such as ``"timm/tf_efficientnet_lite0.in1k"``.
    size : int, optional
        Images are resized to this height and width (bicubic); by default 96, or the only size that the network reads.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        If it is not available, has no safetensors, or does not encode images of this size.
    """
    config_file, config = read_config(name)
    if not isinstance(config.get("architecture"), str):
        raise UserError(
            f"encoder '{name}' is no network of timm, so it cannot encode images{kind_of(config)}: use one such as "
            f"{IMAGE_ENCODER}"
        )
    settings: dict[str, Any] = config.get("pretrained_cfg", config)
    size = _check_size(name, size, settings)
    mean, std = (np.array(settings.get(key) or [0.5, 0.5, 0.5], dtype=np.float32) for key in ("mean", "std"))
    weights = find_weights(name, config_file)

    def load() -> Encode:
        with errors_of(name):
            network = _load(config["architecture"], config.get("model_args") or {}, settings, weights)
        return lambda images: _encode(images, network, size, (mean, std), name)

    return Encoder(name, "images", sha256_of([weights, config_file], size), load)


def _check_components(components: int | None) -> int:
    if components is None:
        return 0
    if isinstance(components, bool) or not isinstance(components, int) or components < 1:
        raise UserError(f"encoder_components must be a whole number from 1, not {components!r}")
    return components


def _check_size(name: str, size: int | None, settings: dict[str, Any]) -> int:
    native = settings.get("input_size")
    fixed = int(native[-1]) if settings.get("fixed_input_size") and isinstance(native, list) else None
    size = (fixed or SIZE) if size is None else size
    if isinstance(size, bool) or not isinstance(size, int) or not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"encoder_size must be a whole number from {SIZES[0]} to {SIZES[1]}, not {size!r}")
    if fixed is not None and size != fixed:
        raise UserError(f"encoder '{name}' reads images of {fixed} × {fixed} pixels only: use encoder_size = {fixed}")
    return size


def _load(architecture: str, arguments: dict[str, Any], settings: dict[str, Any], weights: Path) -> torch.nn.Module:
    import timm
    from safetensors.torch import load_file

    if not timm.is_model(architecture):  # a name could also be that of another source of weights
        raise UserError(f"timm {timm.__version__} has no network '{architecture}'")
    # With as many classes as the weights have, timm insists that no weight is missing; it draws others at random.
    classes = settings.get("num_classes", 1000)
    overlay = {key: settings[key] for key in KEPT if key in settings} | {
        "num_classes": classes,
        "state_dict": load_file(weights),
        "source": "",
    }
    with isolated_generators(0):
        network: Any = timm.create_model(
            architecture, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay, **arguments
        )
    network.reset_classifier(0)
    frozen: torch.nn.Module = network.eval()
    return frozen


def _encode(
    images: Sequence[np.ndarray], network: torch.nn.Module, size: int, scale: tuple[np.ndarray, np.ndarray], name: str
) -> Iterator[tuple[list[int], Compute]]:
    mean, std = scale
    for positions in parts(range(len(images)), BATCH):

        def compute(positions: list[int] = positions) -> np.ndarray:
            import torch

            pixels = np.stack([_resize(images[position], size) for position in positions])
            pixels = (pixels.astype(np.float32) / np.float32(255) - mean) / std
            inputs = torch.from_numpy(filled(np.moveaxis(pixels, -1, 1), BATCH))
            with errors_of(name), torch.inference_mode():
                return checked(network(inputs), len(positions))

        yield positions, compute


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    """Colours of an image of shape (channels, height, width), resized; uint8 of shape (size, size, 3)."""
    from PIL import Image

    picture = Image.fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, -1))
    return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
