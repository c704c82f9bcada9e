"""Precision of matrix products and convolutions in training and unlearning; weights are in single precision always."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dvbench.settings import Precision


@contextmanager
def products_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute matrix products and convolutions in a precision, inside this context.

    Parameters
    ----------
    precision : {"float32", "tf32", "bfloat16"}
        ``float32`` is single precision on every device, also for convolutions, which torch by default rounds to TF32 on
        a GPU. ``tf32`` rounds the factors of products to 11 significant bits, on GPUs with instructions for it; on
        other devices it is ``float32``. ``bfloat16`` is torch's autocast.
    device : torch.device
    """
    if precision == "bfloat16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    elif device.type == "cuda":
        with _rounded_to_tf32(precision == "tf32"):
            yield
    else:
        yield


@contextmanager
def _rounded_to_tf32(rounded: bool) -> Iterator[None]:
    """Switch torch's two settings of TF32 on or off for a while."""
    of_products, of_convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if rounded else "highest")
    torch.backends.cudnn.allow_tf32 = rounded
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(of_products)
        torch.backends.cudnn.allow_tf32 = of_convolutions
