"""What enters the layers of a network, and the gradients of what leaves them, while losses are differentiated.

Of points and of texts: hooks hand over both for every layer and pass, with the numbers of the points or texts. What is
asked of gradients of single points or texts follows from them, without these gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from dvbench.errors import UserError
from dvbench.training.text_batches import output_layer as output_layer_of_texts

LINEAR_IN_PARAMETERS = (nn.Linear, _ConvNd, _BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.Embedding)
Direction = dict[int, torch.Tensor]
"""A vector in the space of parameters: a tensor for each of them, by its ``id``."""

Handle = Callable[[nn.Module, tuple[Any, ...], torch.Tensor, torch.Tensor], None]
"""Gets a layer, its inputs, the gradient of its output, and the number of the text or point of each of their rows."""


def is_linear_in_parameters(layer: nn.Module) -> bool:
    """Whether the output of a layer is known to be linear in its parameters."""
    return isinstance(layer, LINEAR_IN_PARAMETERS) or is_transposed_linear(layer)


def is_transposed_linear(layer: nn.Module) -> bool:
    """Whether a layer is the linear layer of GPT-2, whose weight has shape (inputs, outputs)."""
    return type(layer).__name__ == "Conv1D" and type(layer).__module__ == "transformers.pytorch_utils"


def layers_with_parameters(network: nn.Module, remedy: str) -> list[nn.Module]:
    """Layers that have parameters of their own that are trained.

    Raises
    ------
    UserError
        If one is not known to be linear in its parameters. The message ends with the remedy.
    """
    layers = [m for m in network.modules() if any(p.requires_grad for p in m.parameters(recurse=False))]
    for layer in layers:
        if not is_linear_in_parameters(layer):
            raise UserError(
                f"{type(layer).__name__} is not known to be linear in its parameters, which products of gradients "
                f"need; {remedy}"
            )
    return layers


class LayerGradients:
    """Hooks on layers of a network. A context, which they are there for.

    Parameters
    ----------
    network : torch.nn.Module
        Of points, or a causal language model.
    layers : sequence of torch.nn.Module
        The layers that are looked at.
    texts : bool
        Whether it is a language model. Its output layer gets one row for each token that counts, the others get one for
        each text.
    """

    def __init__(self, network: nn.Module, layers: Sequence[nn.Module], *, texts: bool) -> None:
        body: Any = network.base_model if texts else network
        self.body, self.layers = body, layers
        self.head = output_layer_of_texts(network) if texts else None
        self._hooks: list[RemovableHandle] = []
        self._handle: Handle | None = None

    def __enter__(self) -> LayerGradients:
        self._hooks = [
            self.body.register_forward_pre_hook(self._begin_pass, with_kwargs=True),
            *(layer.register_forward_hook(self._record) for layer in self.layers),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    @contextmanager
    def handed_to(self, handle: Handle, sizes: Sequence[int]) -> Iterator[None]:
        """Hand over the layers of all passes in this context, which go once through points or texts.

        Parameters
        ----------
        handle : callable
        sizes : sequence of int
            How many tokens of each text count, or any number for each point.

        Raises
        ------
        UserError
            If another number of points or texts was seen.
        """
        self._handle, self._passed, self._tokens = handle, 0, 0
        self._owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        try:
            yield
        finally:
            self._handle = None
        if self._passed != len(sizes):
            raise UserError(
                f"{self._passed} points or texts were differentiated, and not {len(sizes)}: memory ran out in between; "
                "choose a smaller model or minibatches"
            )

    def _begin_pass(self, body: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if self._handle is not None and torch.is_grad_enabled():
            rows = len(named["input_ids"] if "input_ids" in named else args[0])
            self._numbers = torch.arange(self._passed, self._passed + rows)
            self._passed += rows

    def _record(self, layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        handle = self._handle
        if handle is None or not output.requires_grad:
            return None
        if layer is self.head:
            numbers = self._owners[self._tokens : self._tokens + len(output)]
            self._tokens += len(output)
        else:
            numbers = self._numbers
            if len(output) == 1 < len(numbers):  # positions, which are the same in all texts
                output = output.expand(len(numbers), *output.shape[1:])
        if len(output) != len(numbers):
            raise UserError(
                f"{type(layer).__name__} gets {len(output)} rows for {len(numbers)} points, whose gradients cannot be "
                "told apart; choose another model or another evaluator"
            )
        inputs = tuple(part.detach() if isinstance(part, torch.Tensor) else part for part in inputs)

        @torch.no_grad()
        def hand_over(gradient: torch.Tensor) -> None:
            handle(layer, inputs, gradient, numbers)

        output.register_hook(hand_over)
        return output


@torch.no_grad()
def layer_products(
    layer: nn.Module, inputs: tuple[Any, ...], gradient: torch.Tensor, direction: Direction
) -> torch.Tensor:
    """Inner products of the gradients of rows, with respect to a layer's parameters, with a direction.

    Parameters
    ----------
    layer : torch.nn.Module
        Linear in its parameters.
    inputs : tuple
    gradient : torch.Tensor of shape (rows, ...)
        Of the layer's output.
    direction : dict
        What it lacks is zero.

    Returns
    -------
    torch.Tensor of shape (rows,)
    """
    dtype = next(layer.parameters(recurse=False)).dtype
    named = {
        name: direction[id(p)] if id(p) in direction else torch.zeros_like(p)
        for name, p in layer.named_parameters(recurse=False)
    }
    buffers = {name: buffer.clone() for name, buffer in layer.named_buffers(recurse=False)}
    moved = functional_call(layer, {**named, **buffers}, _as_type(inputs, dtype))
    total: torch.Tensor = (gradient * moved).reshape(len(gradient), -1).sum(dim=1)
    return total


@torch.no_grad()
def matrix_products(
    layer: nn.Module, inputs: tuple[Any, ...], gradient: torch.Tensor, direction: Direction
) -> torch.Tensor:
    """The same, faster for linear layers: the products are summed on the narrower side of the layer."""
    weight = linear_weight(layer)
    if weight is None or id(layer.weight) not in direction:
        return layer_products(layer, inputs, gradient, direction)
    matrix: torch.Tensor = direction[id(layer.weight)]
    matrix = matrix.T if is_transposed_linear(layer) else matrix  # (outputs, inputs)
    entering, slopes = inputs[0].flatten(0, -2).to(matrix.dtype), gradient.flatten(0, -2).to(matrix.dtype)
    if matrix.shape[0] > matrix.shape[1]:
        total = torch.mul(slopes @ matrix, entering).sum(dim=1)
    else:
        total = torch.mul(entering @ matrix.T, slopes).sum(dim=1)
    bias = None if layer.bias is None else direction.get(id(layer.bias))
    if bias is not None:
        total += slopes @ bias
    return total.reshape(len(gradient), -1).sum(dim=1)


def linear_weight(layer: nn.Module) -> torch.Tensor | None:
    """The weight of a linear layer as it maps inputs to outputs, (outputs, inputs); None for other layers."""
    weight: Any = layer.weight if isinstance(layer, nn.Linear) or is_transposed_linear(layer) else None
    return weight.T if is_transposed_linear(layer) else weight  # type: ignore[no-any-return]


def _as_type(inputs: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    """Inputs of a layer with floating-point tensors in the precision of the parameters."""
    return tuple(
        part.to(dtype) if isinstance(part, torch.Tensor) and part.is_floating_point() else part for part in inputs
    )
