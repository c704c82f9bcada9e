"""Images: a check that points are images, and random crops and flips of them on their device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvbench.errors import UserError

if TYPE_CHECKING:
    import torch

PADDED = 8  # a crop is of an image that was padded by one over this number of its side


def require_images(model: str, shape: tuple[int, ...], smallest: int) -> None:
    """Raise a `UserError` unless ``shape`` is (channels, height, width) with sides of at least ``smallest``."""
    if len(shape) != 3 or min(shape[1:]) < smallest:
        size = f"of at least {smallest} x {smallest} pixels"
        raise UserError(f"model '{model}' needs images {size}, but these points have shape {shape}; use 'mlp'")


def cropped_and_flipped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random crops of images that are padded with zeros by an eighth of their side; half of them are mirrored.

    Parameters
    ----------
    images : torch.Tensor of shape (..., channels, height, width)
    generator : torch.Generator
        On the CPU, so that all devices draw the same numbers.

    Returns
    -------
    torch.Tensor of the shape of ``images``
    """
    import torch
    import torch.nn.functional as F

    flat = images.reshape(-1, *images.shape[-3:])
    n, (height, width), device = len(flat), flat.shape[2:], flat.device
    down, right = height // PADDED, width // PADDED
    top = torch.randint(2 * down + 1, (n, 1), generator=generator).to(device)
    left = torch.randint(2 * right + 1, (n, 1), generator=generator).to(device)
    mirrored = (torch.rand(n, 1, generator=generator) < 0.5).to(device)
    rows, columns = torch.arange(height, device=device) + top, torch.arange(width, device=device)
    columns = torch.where(mirrored, columns.flip(0), columns) + left
    padded = F.pad(flat, (right, right, down, down)).permute(0, 2, 3, 1)
    numbers = torch.arange(n, device=device)[:, None, None]
    return padded[numbers, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).reshape(images.shape)
