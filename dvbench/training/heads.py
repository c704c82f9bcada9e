"""Finds the output layer of a network, and reads its input and its output: features and logits.

The output layer is the linear layer that makes the network's outputs. It is found by running the network, because the
order in which layers are defined says nothing about the order in which they are used.

OpenDataVal's own classifiers end in a softmax or a sigmoid. The input of that function is the logits, for which
cross-entropy is the right loss. So logits are always the output of the output layer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from opendataval.model.api import TorchRegressMixin
from torch import nn

from dvbench.errors import UserError
from dvbench.training.tensor_model import TensorModel

CHUNK = 4096
TRACED = 256  # points with which the output layer is found
ADVICE = "the last step must be one linear layer, which a softmax or a sigmoid may follow in OpenDataVal's classifiers"
ENDS: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    lambda logits: logits.softmax(dim=1),
    torch.sigmoid,
    lambda logits: logits.log_softmax(dim=1),
)

Call = tuple[nn.Linear, torch.Tensor, torch.Tensor]  # a layer, its input and its output


@torch.no_grad()
def output_layer(network: nn.Module, x: torch.Tensor) -> nn.Linear:
    """Find the linear layer whose output is the output of a network, up to a softmax or a sigmoid.

    Parameters
    ----------
    network : torch.nn.Module
        It is run in evaluation mode, on a few points.
    x : torch.Tensor of shape (n, ...)
        Points, on any device; at least one.

    Returns
    -------
    torch.nn.Linear
        A layer of the network.

    Raises
    ------
    UserError
        If the outputs are not those of a linear layer that is called once, are no tensor of shape (n, outputs), or
        differ each time they are computed.
    """
    name = type(network).__name__
    points = x[:TRACED].to(next(network.parameters()).device)
    with _evaluation_mode(network), torch.random.fork_rng(devices=[]), _recorded_calls(network) as calls:
        outputs = network(points)
        first = list(calls)
        again = network(points)
    if not isinstance(outputs, torch.Tensor):
        raise UserError(f"{name} returns a {type(outputs).__name__}; it must return one tensor, the outputs of points")
    if outputs.ndim != 2 or len(outputs) != len(points):
        raise UserError(
            f"{name} maps {len(points)} points to shape {tuple(outputs.shape)}; it must be ({len(points)}, outputs)"
        )
    if not _equal(outputs, again):
        raise UserError(
            f"{name} gives other outputs for the same points each time, in evaluation mode too; use nn.Dropout for "
            "dropout, which evaluation mode switches off"
        )
    for layer, _, logits in reversed(first):
        if _makes(logits, outputs, network):
            if sum(called is layer for called, _, _ in first) > 1:
                raise UserError(f"{name} calls its output layer more than once; {ADVICE}")
            return layer
    raise UserError(f"the outputs of {name} are not those of a linear layer; {ADVICE}")


def require_own_weights(network: nn.Module, layer: nn.Linear, x: torch.Tensor) -> None:
    """Raise a `UserError` if a network also uses the weights of its output layer elsewhere, as tied weights.

    Their gradient is then not the product of residuals and features, and features change when they move.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    layer : torch.nn.Linear
        Its `output_layer`.
    x : torch.Tensor of shape (n, ...)
        Points, at least one.
    """
    if not layer.weight.requires_grad:
        return
    with torch.enable_grad():
        features, logits = features_and_logits(network, x[:TRACED].to(layer.weight.device), layer)
        (gradient,) = torch.autograd.grad(logits.sum(), layer.weight)
    features = features.detach()
    rounding = 1e-4 * float(features.abs().sum(dim=0).max())
    if not torch.allclose(gradient, features.sum(dim=0).expand_as(gradient), atol=rounding, equal_nan=True):
        raise UserError(
            f"{type(network).__name__} uses the weights of its output layer in another place too (tied weights); give "
            "the output layer weights of its own"
        )


def features_and_logits(
    network: nn.Module, x: torch.Tensor, layer: nn.Linear | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a network on one batch; return the input and the output of its output layer.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (batch, ...)
        On the network's device.
    layer : torch.nn.Linear, optional
        The network's `output_layer`; found with these points by default.

    Returns
    -------
    features : torch.Tensor of shape (batch, H)
    logits : torch.Tensor of shape (batch, outputs)

    Raises
    ------
    UserError
        If the network has no `output_layer`.
    """
    with _recorded_calls(layer or output_layer(network, x)) as calls:
        network(x)
    ((_, features, logits),) = calls
    return features, logits


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
    device, layer = next(network.parameters()).device, output_layer(network, x)
    network.eval()
    parts = [features_and_logits(network, chunk.to(device), layer) for chunk in x.split(CHUNK)]
    return torch.cat([features for features, _ in parts]), torch.cat([logits for _, logits in parts])


def logits_network(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """Copy a model without the softmax or sigmoid at its end, so that it computes logits.

    Parameters
    ----------
    model : torch.nn.Module
        With an `output_layer`.
    x : torch.Tensor of shape (n, ...)
        Points, at least one.

    Returns
    -------
    torch.nn.Module
        Maps (n, ...) to logits (n, outputs).
    """
    if isinstance(model, TensorModel):
        return copy.deepcopy(model.network)
    last = list(model)[-1:] if type(model) is nn.Sequential else [model]
    if [type(layer) for layer in last] == [nn.Linear]:
        return copy.deepcopy(model)
    layer = output_layer(model, x)
    return _Logits(copy.deepcopy(model), next(name for name, part in model.named_modules() if part is layer))


class _Logits(nn.Module):
    """A model that returns the output of one of its layers."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model = model
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layer = self.model.get_submodule(self.layer)
        assert isinstance(layer, nn.Linear)
        return features_and_logits(self.model, x, layer)[1]


@contextmanager
def _recorded_calls(network: nn.Module) -> Iterator[list[Call]]:
    """Collect the calls of all linear layers of a network, in their order."""
    calls: list[Call] = []

    def record(
        layer: nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor], output: torch.Tensor
    ) -> None:
        assert isinstance(layer, nn.Linear)
        calls.append((layer, inputs[0] if inputs else named["input"], output))

    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(record, with_kwargs=True) for layer in layers]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode for a while; every module then gets its own mode back."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _makes(logits: torch.Tensor, outputs: torch.Tensor, network: nn.Module) -> bool:
    """Whether a network's outputs are these logits, or may be and are a softmax or a sigmoid of them."""
    if logits.shape != outputs.shape:
        return False
    # The same memory: after ReLU, say, positive logits would be equal too.
    if logits.data_ptr() == outputs.data_ptr():
        return True
    # After these functions, losses on logits would not be those of regression.
    trains_on_logits = isinstance(network, TensorModel | TorchRegressMixin) or outputs.shape[1] == 1
    return not trains_on_logits and any(_equal(end(logits), outputs) for end in ENDS)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two results are equal up to rounding; a model that diverged is found later, by its logits."""
    size = float(other.abs().nan_to_num().max())
    return torch.allclose(one, other.to(one), rtol=1e-3, atol=1e-5 * size, equal_nan=True)
