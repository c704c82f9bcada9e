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
from dvbench.training.precision import products_in

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
    logits, rights = y.new_empty(y.shape), y.new_empty(0)
    with products_in(how.precision, x.device), lone_points_normalised(network):
        for rows in _chunks(y, how.batch_size if own_statistics else CHUNK, own_statistics and strategy.per_class):
            points = cropped_and_flipped(x[rows], generator) if augments else x[rows]
            features, logits[rows] = features_and_logits(network, points, layer)
            if not len(rights):
                rights = _rights(len(x), features, layer, strategy)
            if strategy.layer == "full":
                rights[rows, : features.shape[1]] = features.to(y.dtype)
    return Look(Gradients(residuals(logits, y), rights), point_losses(logits, y), logits)


def _name_of_output_layer(network: nn.Module, x: torch.Tensor) -> str:
    layer = output_layer(network, x)
    name: str = next(name for name, module in network.named_modules() if module is layer)
    return name


def _rights(n: int, features: torch.Tensor, layer: nn.Linear, strategy: SelectionStrategy) -> torch.Tensor:
    """Room for the inputs of the last layer of n points, with a 1 for its bias, or for the 1 alone."""
    columns = 1 if strategy.layer == "bias" else features.shape[1] + int(layer.bias is not None)
    return torch.ones(n, columns, dtype=layer.weight.dtype, device=features.device)


def _chunks(y: torch.Tensor, size: int, by_class: bool) -> Iterator[torch.Tensor | slice]:
    """Rows of the points that are seen together, at most ``size``, and of one class with ``by_class``."""
    if not by_class:
        yield from (slice(start, start + size) for start in range(0, len(y), size))
        return
    everything = torch.arange(len(y), device=y.device)
    labels = y.argmax(dim=1)
    for label in labels.unique():
        yield from everything[labels == label].split(size)
