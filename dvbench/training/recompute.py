"""Activation checkpointing: activations within a block are not stored, and computed again for the gradient.

Transformers renamed its methods for this within version 5; this module supports both names.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def recompute_activations(network: nn.Module) -> None:
    """Switch activation checkpointing on in a transformers model."""
    model: Any = network
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def recomputes_activations(network: nn.Module) -> bool:
    """Whether a network has activation checkpointing switched on."""
    names = ("is_activation_checkpointing", "is_gradient_checkpointing")
    return any(getattr(network, name, False) for name in names)
