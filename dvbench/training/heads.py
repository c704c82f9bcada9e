"""The last linear layer of a network: its input are the features of a point, its output the logits.

OpenDataVal's own classifiers end in a softmax or a sigmoid. What enters that last function are logits all the same, and
for those cross-entropy is the right loss; so logits are always read from the last linear layer.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from dvbench.training.tensor_model import TensorModel

CHUNK = 4096


def last_linear(network: nn.Module) -> nn.Linear:
    """Last `torch.nn.Linear` of a network, in order of definition.

    Raises
    ------
    ValueError
        If there is none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no linear layer, which its last layer must be")
    return layers[-1]


def features_and_logits(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a network on one batch and read input and output of its last linear layer.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (batch, ...)
        On the network's device.

    Returns
    -------
    features : torch.Tensor of shape (batch, H)
    logits : torch.Tensor of shape (batch, outputs)

    Raises
    ------
    ValueError
        If the layer is not used just once.
    """
    if isinstance(network, nn.Linear):
        return x, network(x)
    seen: list[torch.Tensor] = []
    hook = last_linear(network).register_forward_hook(lambda _, inputs, output: seen.extend((inputs[0], output)))
    try:
        network(x)
    finally:
        hook.remove()
    if len(seen) != 2:
        raise ValueError(f"{type(network).__name__} does not use its last linear layer just once")
    return seen[0], seen[1]


@torch.no_grad()
def all_features_and_logits(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Like `features_and_logits` for many points: in evaluation mode, without gradients, in chunks.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        Anywhere; chunks are moved to the network's device.

    Returns
    -------
    features : torch.Tensor of shape (n, H)
    logits : torch.Tensor of shape (n, outputs)
        On the network's device.
    """
    device = next(network.parameters()).device
    network.eval()
    parts = [features_and_logits(network, chunk.to(device)) for chunk in x.split(CHUNK)]
    return torch.cat([features for features, _ in parts]), torch.cat([logits for _, logits in parts])


def logits_network(model: nn.Module) -> nn.Module:
    """Copy of a model that puts out logits: without the softmax or sigmoid that OpenDataVal's classifiers end in.

    Parameters
    ----------
    model : torch.nn.Module
        With a linear last layer.

    Returns
    -------
    torch.nn.Module
        (n, ...) to logits (n, outputs).
    """
    if isinstance(model, TensorModel):
        return copy.deepcopy(model.network)
    last = list(model)[-1:] if type(model) is nn.Sequential else [model]
    network = copy.deepcopy(model)
    return network if [type(layer) for layer in last] == [nn.Linear] else _Logits(network)


class _Logits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return features_and_logits(self.model, x)[1]
