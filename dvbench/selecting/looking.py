"""Looks at points with the present model: gradients of the last layer, losses and logits, in one pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dvbench.errors import UserError
from dvbench.randomness import torch_generator
from dvbench.selecting.contract import Look, SelectionStrategy
from dvbench.selecting.gradients import Gradients
from dvbench.settings import SelectionSettings
from dvbench.training.batch_normalisation import lone_points_normalised
from dvbench.training.heads import features_and_logits, output_layer
from dvbench.training.images import cropped_and_flipped
from dvbench.training.losses import point_losses, residuals

CHUNK = 2048  # points of one pass where they do not influence each other


@torch.no_grad()
def look(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    strategy: SelectionStrategy,
    how: SelectionSettings,
    seed: int,
) -> Look:
    """Run a network on points, in the way that a strategy's settings say. The network does not change.

    Parameters
    ----------
    network : torch.nn.Module
    x, y : torch.Tensor of shape (n, ...) and (n, C)
        Features and one-hot labels, on the network's device.
    strategy : SelectionStrategy
    how : SelectionSettings
    seed : int
        Seed of the augmentation.

    Returns
    -------
    Look

    Raises
    ------
    UserError
        If the bias of the last layer is asked for, and it has none.
    """
    layer_name = _name_of_output_layer(network, x)
    own_statistics = strategy.batch_norm == "training" and any(isinstance(m, _BatchNorm) for m in network.modules())
    network = copy.deepcopy(network).eval()  # batch normalisation updates its running statistics
    if own_statistics:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.train()
    layer = network.get_submodule(layer_name)
    assert isinstance(layer, nn.Linear)
    if strategy.layer == "bias" and layer.bias is None:
        raise UserError("the last layer of this model has no bias: use layer = 'full'")
    generator = torch_generator(seed)
    augments = strategy.augmented and how.augmentation != "none"
    parts, order = [], []
    autocast = torch.autocast(x.device.type, torch.bfloat16, enabled=how.precision == "bfloat16")
    with autocast, lone_points_normalised(network):
        for rows in _chunks(y, strategy, how.batch_size if own_statistics else CHUNK):
            points = cropped_and_flipped(x[rows], generator) if augments else x[rows]
            features, logits = features_and_logits(network, points, layer)
            right = _right(features.to(y.dtype), layer, strategy)
            parts.append((right, logits.to(y.dtype)))
            order.append(rows)
    rights, logits = (torch.cat(column)[torch.cat(order).argsort()] for column in zip(*parts, strict=True))
    return Look(Gradients(residuals(logits, y), rights), point_losses(logits, y), logits)


def _name_of_output_layer(network: nn.Module, x: torch.Tensor) -> str:
    layer = output_layer(network, x)
    name: str = next(name for name, module in network.named_modules() if module is layer)
    return name


def _right(features: torch.Tensor, layer: nn.Linear, strategy: SelectionStrategy) -> torch.Tensor:
    """Input of the last layer with a 1 for its bias, or one of both."""
    ones = features.new_ones(len(features), 1)
    if strategy.layer == "bias":
        return ones
    return features if layer.bias is None else torch.cat([features, ones], dim=1)


def _chunks(y: torch.Tensor, strategy: SelectionStrategy, size: int) -> Iterator[torch.Tensor]:
    """Rows of the points that are seen together; of one class if a strategy chooses class by class."""
    everything = torch.arange(len(y), device=y.device)
    if not strategy.per_class or size == CHUNK:
        yield from everything.split(size)
        return
    labels = y.argmax(dim=1)
    for label in labels.unique():
        yield from everything[labels == label].split(size)
