"""Activation checkpointing: activations within a block are not stored, and computed again for the gradient.

Transformers renamed its methods for this within version 5; this module supports both names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


def recompute_activations(network: nn.Module) -> None:
    """Switch activation checkpointing on in a transformers model."""
    model: Any = network
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


@contextmanager
def recomputation(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Switch activation checkpointing on for a while, if it is wanted and not on anyway."""
    if not wanted or recomputes_activations(network):
        yield
        return
    recompute_activations(network)
    model: Any = network
    try:
        yield
    finally:
        (getattr(model, "activation_checkpointing_disable", None) or model.gradient_checkpointing_disable)()


def recomputes_activations(network: nn.Module) -> bool:
    """Whether a network has activation checkpointing switched on."""
    for name in ("is_activation_checkpointing", "is_gradient_checkpointing"):  # where both exist, the second warns
        if hasattr(type(network), name):
            return bool(getattr(network, name))
    return False
