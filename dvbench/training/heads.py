"""Reads features and logits of a network: the input and the output of its last linear layer.

OpenDataVal's own classifiers end in a softmax or a sigmoid. The input of that function is the logits, for which
cross-entropy is the right loss. So logits are always read from the last linear layer.
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
        raise ValueError(f"{type(network).__name__} has no linear layer; its last layer must be one")
    return layers[-1]


def features_and_logits(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a network on one batch; return the input and the output of its last linear layer.

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
        If there is no linear layer, or the network does not call the last one exactly once.
    """
    if isinstance(network, nn.Linear):
        return x, network(x)
    recorded: list[torch.Tensor] = []
    hook = last_linear(network).register_forward_hook(lambda _, inputs, output: recorded.extend((inputs[0], output)))
    try:
        network(x)
    finally:
        hook.remove()
    if len(recorded) != 2:
        raise ValueError(f"{type(network).__name__} must call its last linear layer exactly once in a forward pass")
    return recorded[0], recorded[1]


@torch.no_grad()
def all_features_and_logits(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute `features_and_logits` of many points in chunks, in evaluation mode and without gradients.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        On any device; chunks are moved to the network's device.

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
    """Copy a model without the softmax or sigmoid at its end, so that it computes logits.

    Parameters
    ----------
    model : torch.nn.Module
        With a last linear layer.

    Returns
    -------
    torch.nn.Module
        Maps (n, ...) to logits (n, outputs).
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
