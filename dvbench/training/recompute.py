"""Activation checkpointing: keep no activations within a block and compute them again for the gradient.

Transformers renamed its methods for this within version 5; both names are understood here.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def recompute_activations(network: nn.Module) -> None:
    """Let a model of transformers compute the activations within its blocks again when it needs them."""
    model: Any = network
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def recomputes_activations(network: nn.Module) -> bool:
    """Whether a network does so."""
    names = ("is_activation_checkpointing", "is_gradient_checkpointing")
    return any(getattr(network, name, False) for name in names)
