"""Checks that points are images, for models that need them."""

from __future__ import annotations

from dvbench.errors import UserError


def require_images(model: str, shape: tuple[int, ...], smallest: int) -> None:
    """Raise a `UserError` unless ``shape`` is (channels, height, width) with sides of at least ``smallest``."""
    if len(shape) != 3 or min(shape[1:]) < smallest:
        size = f"of at least {smallest} x {smallest} pixels"
        raise UserError(f"model '{model}' needs images {size}, but these points have shape {shape}; use 'mlp'")
