"""Gradients of the linear layers of a trained network, of points or of texts, in the parts that they are products of.

The gradient of a linear layer's weights for one point or text is the sum over its positions t (one, of a point) of
d_t a_t', of the gradient with respect to the output and of the input, which has a 1 appended if the layer has a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.training.heads import output_layer
from dvbench.training.language_model import LanguageModel
from dvbench.training.losses import is_classification, predictions, residuals
from dvbench.training.output_chunks import ChunkGradient, chunked_loss, token_losses
from dvbench.training.pass_size import PassSize
from dvbench.training.text_batches import features, passes, text_batch
from dvbench.training.text_batches import output_layer as output_layer_of_texts
from dvbench.training.vector_jacobian import vector_jacobian
from evaluators.common.layer_gradients import LayerGradients, linear_weight
from evaluators.common.requirements import Layers

CHUNK = 2048  # points in one pass
Handle = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Gets the number of a layer, a (n, positions, inputs), d (n, positions, outputs), and the numbers of the n rows."""


class LinearLayers(Protocol):
    """The linear layers of a network with the points or texts of a training and a validation set.

    Attributes
    ----------
    layers : list of torch.nn.Module
    shapes : list of tuple of int
        Outputs, and inputs with one more for the bias, of each layer.
    """

    layers: list[nn.Module]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Outputs, and inputs with one more for the bias, of each layer."""

    def zeros(self, *shape: int) -> torch.Tensor:
        """Zeros in float64 where the network is."""

    def losses(self, handle: Handle, x: torch.Tensor, y: torch.Tensor) -> int:
        """Hand over the gradients of the losses of points or texts, summed over tokens; return how many these are."""

    def fisher(self, handle: Handle, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> int:
        """The same of losses with labels of the model's own distribution, whose squares are the Fisher information."""


class _Common:
    def __init__(self, network: nn.Module, layers: list[nn.Module]) -> None:
        if not layers:
            raise UserError(f"{type(network).__name__} has no linear layer that is trained; choose another evaluator")
        self.network, self.layers = network, layers
        self.parameters = [p for layer in layers for p in layer.parameters(recurse=False) if p.requires_grad]

    def zeros(self, *shape: int) -> torch.Tensor:
        """Zeros in float64 where the network is."""
        return torch.zeros(shape, dtype=torch.float64, device=self.parameters[0].device)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Outputs, and inputs with one more for the bias, of each layer."""
        shapes = [linear_weight(layer).shape for layer in self.layers]  # type: ignore[union-attr]
        return [(out, size + (layer.bias is not None)) for (out, size), layer in zip(shapes, self.layers, strict=True)]

    def _split(self, handle: Handle) -> Any:
        """What `LayerGradients` hands over, in the form that a handle gets here."""
        numbers_of_layers = {id(layer): k for k, layer in enumerate(self.layers)}

        def split(layer: nn.Module, inputs: tuple[Any, ...], gradient: torch.Tensor, numbers: torch.Tensor) -> None:
            d = gradient.reshape(len(gradient), -1, gradient.shape[-1])
            a = inputs[0].reshape(len(gradient), -1, inputs[0].shape[-1]).to(d)
            if layer.bias is not None:
                a = torch.cat([a, a.new_ones(*a.shape[:2], 1)], dim=2)
            handle(numbers_of_layers[id(layer)], a, d, numbers)

        return split


class LinearLayersOfPoints(_Common):
    """Of a network of points, in evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
    layers : {"all", "last"}
    x : torch.Tensor
        Points, of which a few are used to find the output layer.
    """

    def __init__(self, network: nn.Module, layers: Layers, x: torch.Tensor) -> None:
        chosen = [output_layer(network, x)] if layers == "last" else list(network.modules())
        super().__init__(network.eval(), [m for m in chosen if isinstance(m, nn.Linear) and m.weight.requires_grad])

    def losses(self, handle: Handle, x: torch.Tensor, y: torch.Tensor) -> int:
        """Hand over the gradients of the losses; see `LinearLayers`."""
        return self._differentiate(handle, x, y, lambda logits, targets: iter([residuals(logits, targets)]))

    def fisher(self, handle: Handle, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> int:
        """Exact: one gradient for each output and not a drawn label."""
        return self._differentiate(handle, x, y, _square_roots)

    def _differentiate(
        self,
        handle: Handle,
        x: torch.Tensor,
        y: torch.Tensor,
        slopes: Callable[[torch.Tensor, torch.Tensor], Iterator[torch.Tensor]],
    ) -> int:
        with (
            LayerGradients(self.network, self.layers, texts=False) as gradients,
            gradients.handed_to(self._split(handle), [1] * len(x)),
        ):
            for points, targets in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
                logits = self.network(points)
                for slope in slopes(logits.detach(), targets.to(logits)):
                    vector_jacobian([logits], [slope], self.parameters, retain_graph=True)
        return len(x)


def _square_roots(logits: torch.Tensor, y: torch.Tensor) -> Iterator[torch.Tensor]:
    """Columns of a square root of the loss's second derivative by the logits, for each point: (n, outputs) each."""
    if not is_classification(y):
        yield torch.ones_like(logits)
        return
    p = predictions(logits, y)
    for label, each in enumerate(torch.eye(p.shape[1]).to(p)):
        yield p[:, label : label + 1].sqrt() * (each - p)


class LinearLayersOfTexts(_Common):
    """Of a language model: its linear layers without the output layer, which shares its weights with the embeddings.

    Parameters
    ----------
    model : LanguageModel
    """

    def __init__(self, model: LanguageModel) -> None:
        network, self.model = model.network, model
        head = output_layer_of_texts(network)
        layers = [m for m in network.modules() if linear_weight(m) is not None and m is not head]
        super().__init__(network, [m for m in layers if m.weight.requires_grad])

    def losses(self, handle: Handle, x: torch.Tensor, y: torch.Tensor) -> int:
        """Hand over the gradients of the losses; see `LinearLayers`."""
        return self._differentiate(handle, x, y, None)

    def fisher(self, handle: Handle, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> int:
        """With one drawn token in place of each token."""
        return self._differentiate(handle, x, y, generator)

    def _differentiate(
        self, handle: Handle, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator | None
    ) -> int:
        network, sizes = self.network.train(), text_batch(x, y).sizes  # dropout is off in both modes
        size = PassSize(network)
        with (
            LayerGradients(network, self.layers, texts=True) as gradients,
            gradients.handed_to(self._split(handle), sizes),
        ):
            for _, batch in passes(x, y, size):
                with self.model.autocast():
                    entering = features(network, batch)
                    rule = token_losses(batch.targets.to(entering.device)) if generator is None else _drawn(generator)
                    chunks = batch.chunks(size.chunk_texts(batch.tokens.shape[1]))
                    loss = chunked_loss(output_layer_of_texts(network), entering, chunks, rule)
                torch.autograd.grad(loss, self.parameters)
        network.eval()
        return sum(sizes)


def _drawn(generator: torch.Generator) -> Any:
    """Rule of the loss of tokens that are drawn from the model's own distribution."""

    def rule(logits: torch.Tensor, chunk: slice) -> ChunkGradient:
        p = logits.softmax(dim=1)
        # Only random numbers come from the CPU: to move the probabilities of all words there takes a GPU minutes.
        cumulative, draws = p.cumsum(dim=1), torch.rand(len(p), 1, generator=generator, dtype=p.dtype).to(p.device)
        drawn = torch.searchsorted(cumulative, draws * cumulative[:, -1:])
        return 0.0, p.scatter_add_(1, drawn, p.new_tensor(-1.0).expand(drawn.shape))

    return rule


def gradient_sums(linears: LinearLayers, x: torch.Tensor, y: torch.Tensor) -> tuple[list[torch.Tensor], int]:
    """Gradient of the summed loss for each layer, (outputs, inputs), float64; and over how many losses it is summed."""
    sums = [linears.zeros(*shape) for shape in linears.shapes]

    def add(layer: int, a: torch.Tensor, d: torch.Tensor, numbers: torch.Tensor) -> None:
        sums[layer] += (d.flatten(0, 1).T @ a.flatten(0, 1)).double()

    return sums, linears.losses(add, x, y)


def covariances(linears: LinearLayers, visit: Callable[[Handle], int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Second moments of a and of d for each layer, over the positions that losses depend on; up to a factor.

    Parameters
    ----------
    linears : LinearLayers
    visit : callable
        Hands over gradients to a handle.

    Returns
    -------
    of_inputs, of_outputs : list of torch.Tensor of float64, (inputs, inputs) and (outputs, outputs)
    """
    of_inputs = [linears.zeros(size, size) for _, size in linears.shapes]
    of_outputs = [linears.zeros(size, size) for size, _ in linears.shapes]

    def add(layer: int, a: torch.Tensor, d: torch.Tensor, numbers: torch.Tensor) -> None:
        a, d = a.flatten(0, 1), d.flatten(0, 1)
        a = a[d.ne(0).any(dim=1)]  # padding has no gradient
        of_inputs[layer] += (a.T @ a).double()
        of_outputs[layer] += (d.T @ d).double()

    visit(add)
    return of_inputs, of_outputs
