"""Shapley values of one training step of any network: inner products of the gradients of points with one vector.

All usual layers are linear in their parameters: for a layer f(a; theta), the derivative of its output in the direction
V of its parameters is f(a; V). So with d_i the gradient of the loss with respect to the layer's output for point i,

    <gradient of point i, V> = sum of d_i * f(a_i; V),

one more forward pass of the layer. a and d are those that training computes anyway, and no gradient of a single point
is computed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from dvbench.errors import UserError
from dvbench.training.heads import output_layer, require_own_weights
from dvbench.training.stacks import LinearStack, Stack, view_as_stack
from dvbench.training.vector_jacobian import vector_jacobian
from evaluators.common.chain_products import ChainStep
from evaluators.common.layer_gradients import layer_products, layers_with_parameters
from evaluators.common.requirements import Layers
from evaluators.common.stepwise import mean_loss


class GhostStep:
    """Records the inputs of layers and the gradients of their outputs in each training step. A context.

    Parameters
    ----------
    network : torch.nn.Module
        Maps points (n, ...) to logits (n, outputs).
    x : torch.Tensor of shape (n, ...)
        Points, of which a few are used to find the output layer.
    layers : {"all", "last"}
        Which layers' parameters gradients are of.

    Attributes
    ----------
    parameters : list of torch.nn.Parameter
        Of these layers; frozen ones are left out.

    Raises
    ------
    UserError
        If a layer is not linear in its parameters.
    """

    def __init__(self, network: nn.Module, x: torch.Tensor, layers: Layers) -> None:
        self.network = network
        self.layers = (
            _last_layer(network, x) if layers == "last" else layers_with_parameters(network, 'set layers to "last"')
        )
        self.parameters = list(
            {id(p): p for layer in self.layers for p in layer.parameters(recurse=False) if p.requires_grad}.values()
        )
        self._calls: list[tuple[nn.Module, tuple[Any, ...], torch.Tensor]] = []
        self._hooks: list[RemovableHandle] = []
        self.recording = False

    def __enter__(self) -> GhostStep:
        self._hooks = [layer.register_forward_hook(self._record) for layer in self.layers]
        self.recording = True
        return self

    def __exit__(self, *_: object) -> None:
        self.recording = False
        for hook in self._hooks:
            hook.remove()
        self._calls = []

    def _record(self, layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        if self.recording and output.requires_grad:
            inputs = tuple(part.detach() if isinstance(part, torch.Tensor) else part for part in inputs)
            output.register_hook(lambda gradient: self._calls.append((layer, inputs, gradient)))

    def values(self, stack: Stack, x_valid: torch.Tensor, y_valid: torch.Tensor, lr: float, order: int) -> torch.Tensor:
        """Values of the points of the step whose gradient a stack has; see `ChainStep.values`."""
        self.recording = False
        self.network.eval()
        loss, points = mean_loss(self.network, x_valid, y_valid), len(self._calls[0][2])
        gradient = torch.autograd.grad(loss, self.parameters, create_graph=order == 2, materialize_grads=True)
        direction = [lr * part.detach() for part in gradient]
        if order == 2:
            of_network = {id(p): g[0] for p, g in zip(self.network.parameters(), stack.gradients, strict=True)}
            step = [of_network[id(p)] for p in self.parameters]
            curved = vector_jacobian(gradient, step, self.parameters)
            direction = [first - lr**2 / 2 * second for first, second in zip(direction, curved, strict=True)]
        self.network.train()
        total = self._products(direction, points)
        self.recording = True
        return total

    @torch.no_grad()
    def _products(self, direction: list[torch.Tensor], points: int) -> torch.Tensor:
        """Inner products of the gradients of a step's points with a direction, of the parameters; forgets the step.

        A point's gradient is that of its summand in the loss of the minibatch.
        """
        towards = {id(p): part for p, part in zip(self.parameters, direction, strict=True)}
        calls, self._calls = self._calls, []
        total = self.parameters[0].new_zeros(points)
        for layer, inputs, gradient in calls:
            if len(gradient) != points:
                raise UserError(
                    f"{type(layer).__name__} gets {len(gradient)} rows for {points} points, whose gradients cannot be "
                    'told apart; set layers to "last"'
                )
            total += layer_products(layer, inputs, gradient, towards)
        return total


def _last_layer(network: nn.Module, x: torch.Tensor) -> list[nn.Module]:
    layer = output_layer(network, x)
    require_own_weights(network.eval(), layer, x)
    if not any(p.requires_grad for p in layer.parameters()):
        raise UserError(f"the output layer of {type(network).__name__} is frozen, so that no gradient is left")
    return [layer]


def step_of(network: nn.Module, x: torch.Tensor, layers: Layers) -> AbstractContextManager[ChainStep | GhostStep]:
    """Return what computes the Shapley values of the steps of a network's training.

    Parameters
    ----------
    network : torch.nn.Module
        Maps points (n, ...) to logits (n, outputs).
    x : torch.Tensor of shape (n, ...)
        Points, of which a few are used to find the output layer.
    layers : {"all", "last"}
        Which layers' parameters gradients are of.
    """
    stack = view_as_stack(network)
    if isinstance(stack, LinearStack) and all(p.requires_grad for p in network.parameters()):
        return nullcontext(ChainStep(0 if layers == "all" else len(stack.parameters) // 2 - 1))
    return GhostStep(network, x, layers)
