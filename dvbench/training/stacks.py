"""Stacks: many copies of a network whose parameters are stacked, so that one operation computes all copies.

The first dimension of a stacked tensor is the copy. Logits have shape (copies, outputs, points), with the points last:
matrix products and softmaxes over the middle dimension then read contiguous points, which is more than twice as fast on
a CPU.

A chain of linear layers with ReLU is computed with batched matrix products; any other network with `torch.func`.
Networks with convolutions are trained one after the other: `torch.func` would make slow grouped convolutions of them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.modules.conv import _ConvNd

from dvbench.training.memory import memory_of
from dvbench.training.pass_size import MARGIN
from dvbench.training.vector_jacobian import vector_jacobian

LogitGradient = Callable[[torch.Tensor], torch.Tensor]

# Limits of one forward pass without gradients: the number of points, and points times copies.
MAX_POINTS, MAX_COPIED_POINTS = 4096, 2**18
# Bytes of copies that are trained together on a CPU. They should fit its cache: otherwise reading memory takes longest.
CPU_BUDGET = 2**22
MOST_COPIES = 4096  # more would not make a GPU faster, and their minibatches take memory too
# Devices whose convolutions are faster if channels are the last dimension in memory, of weights and images.
CHANNELS_LAST = ("cuda",)


class Stack(ABC):
    """Copies of one network.

    Attributes
    ----------
    parameters, gradients : list of torch.Tensor of shape (copies, ...)
        In the order of ``network.parameters()``.
    copies : int
        Number of copies.
    """

    def __init__(self, parameters: list[torch.Tensor], gradients: list[torch.Tensor] | None = None) -> None:
        self.parameters = parameters
        self.gradients = [torch.zeros_like(p) for p in parameters] if gradients is None else gradients
        self.copies = len(parameters[0])

    @abstractmethod
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the logits of all copies, without gradients.

        Parameters
        ----------
        x : torch.Tensor of shape (copies, points, ...)
            Each copy's own points; or of shape (1, points, ...), points that are given to all copies.

        Returns
        -------
        torch.Tensor of shape (copies, outputs, points)
        """

    @abstractmethod
    def accumulate_gradient(self, x: torch.Tensor, logit_gradient: LogitGradient, beta: float = 0.0) -> None:
        """Compute ``gradients = beta * gradients + J^T logit_gradient(logits)``, with J = d logits / d parameters.

        Parameters
        ----------
        x : torch.Tensor
            As for `logits`.
        logit_gradient : callable
            Maps logits to the gradient of a loss with respect to them, both of shape (copies, outputs, points).
        beta : float
            Factor of the present gradients; 0 replaces them.
        """

    @abstractmethod
    def __getitem__(self, part: slice) -> Stack:
        """Return some of the copies, as a view of the same memory."""

    def eval(self) -> Stack:
        """Switch to evaluation mode and return this stack."""
        return self

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the logits of all copies on many points, in chunks: (points, ...) to (copies, outputs, points)."""
        points = max(16, min(MAX_POINTS, MAX_COPIED_POINTS // self.copies))
        chunks = x.to(self.parameters[0].device).split(points)
        return torch.cat([self.logits(chunk.unsqueeze(0)) for chunk in chunks], dim=2)

    def finite(self) -> torch.Tensor:
        """Whether all parameters of each copy are finite: bool of shape (copies,)."""
        return torch.stack([p.reshape(len(p), -1).isfinite().all(dim=1) for p in self.parameters]).all(dim=0)


class LinearStack(Stack):
    """Copies of a chain of linear layers with ReLU between them.

    Attributes
    ----------
    recording : bool
        Whether `accumulate_gradient` keeps what it computed of every layer.
    recorded : list of tuple of torch.Tensor
        The input (copies or 1, width, points) of every layer, and the gradient with respect to its output (copies,
        width, points), from the first layer to the last.
    """

    recording = False
    recorded: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()

    def __getitem__(self, part: slice) -> LinearStack:
        return LinearStack([p[part] for p in self.parameters], [g[part] for g in self.gradients])

    def _outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the input, of which copies may be 1, and the output of every layer, each (copies, width, points)."""
        outputs = [x.flatten(2).transpose(1, 2)]
        for weight, bias in zip(self.parameters[::2], self.parameters[1::2], strict=True):
            if len(outputs) > 1:
                outputs[-1].relu_()
            inputs, bias_column = outputs[-1], bias.unsqueeze(2)
            if inputs.shape[0] < self.copies:  # one large product instead of many small ones
                product = torch.addmm(bias_column.reshape(-1, 1), weight.reshape(-1, weight.shape[2]), inputs[0])
                outputs.append(product.view(self.copies, -1, inputs.shape[2]))
            else:
                outputs.append(torch.baddbmm(bias_column, weight, inputs))
        return outputs

    @torch.no_grad()
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the logits of all copies, without gradients."""
        return self._outputs(x)[-1]

    def accumulate_gradient(self, x: torch.Tensor, logit_gradient: LogitGradient, beta: float = 0.0) -> None:
        """Add the gradient of a loss to the gradients of the parameters."""
        *inputs, logits = self._outputs(x)
        downstream, recorded = logit_gradient(logits), []
        lower = torch.is_autocast_enabled(x.device.type)  # autocast does not apply to the in-place operations below
        for i in reversed(range(len(inputs))):
            weight_gradient, bias_gradient = self.gradients[2 * i : 2 * i + 2]
            if lower:
                _add(
                    weight_gradient, torch.bmm(downstream, inputs[i].transpose(1, 2).expand(self.copies, -1, -1)), beta
                )
            elif inputs[i].shape[0] < self.copies:
                flat = downstream.reshape(-1, downstream.shape[2])
                weight_gradient.view(-1, weight_gradient.shape[2]).addmm_(flat, inputs[i][0].T, beta=beta)
            else:
                torch.baddbmm(weight_gradient, downstream, inputs[i].transpose(1, 2), beta=beta, out=weight_gradient)
            _add(bias_gradient, downstream.sum(dim=2), beta)
            if self.recording:
                recorded.append((inputs[i], downstream))
            if i:
                # The input comes out of ReLU, so it is positive or zero: its sign is the derivative of ReLU.
                active = inputs[i].sign() if self.recording else inputs[i].sign_()
                downstream = torch.bmm(self.parameters[2 * i].transpose(1, 2), downstream).mul_(active)
        self.recorded = recorded[::-1]


class FunctionalStack(Stack):
    """Copies of any network, computed with `torch.func`.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (points, ...) to (points, outputs). Its modules, its mode and its buffers are used.
    parameters, gradients : list of torch.Tensor of shape (copies, ...)
    buffers : dict of str to torch.Tensor, optional
        Stacked buffers. Each copy needs its own when batch normalisation is trained. By default all copies use the
        network's buffers.
    """

    def __init__(
        self,
        network: nn.Module,
        parameters: list[torch.Tensor],
        gradients: list[torch.Tensor] | None = None,
        buffers: dict[str, torch.Tensor] | None = None,
    ) -> None:
        super().__init__(parameters, gradients)
        self.network = network
        self.buffers = buffers
        self._names = [name for name, _ in network.named_parameters()]

    def __getitem__(self, part: slice) -> FunctionalStack:
        buffers = None if self.buffers is None else {name: b[part] for name, b in self.buffers.items()}
        return FunctionalStack(
            self.network, [p[part] for p in self.parameters], [g[part] for g in self.gradients], buffers
        )

    def eval(self) -> FunctionalStack:
        """Switch to evaluation mode and return this stack."""
        self.network.eval()
        return self

    def _call(self, parameters: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Compute logits of shape (copies, points, outputs)."""

        def call(parameters: list[torch.Tensor], buffers: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
            named = dict(zip(self._names, parameters, strict=True))
            outputs: torch.Tensor = functional_call(self.network, {**named, **buffers}, (x,))
            return outputs

        if self.copies == 1:
            buffers = {name: b[0] for name, b in (self.buffers or {}).items()}
            # Not p[0]: the gradient of an index is written into a tensor of zeros first.
            return call([p.squeeze(0) for p in parameters], buffers, x[0]).unsqueeze(0)
        same_points = len(x) < self.copies
        batched = vmap(call, in_dims=(0, 0, None if same_points else 0))
        return batched(list(parameters), self.buffers or {}, x[0] if same_points else x)

    @torch.no_grad()
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the logits of all copies, without gradients."""
        return self._call(self.parameters, x).transpose(1, 2)

    def accumulate_gradient(self, x: torch.Tensor, logit_gradient: LogitGradient, beta: float = 0.0) -> None:
        """Add the gradient of a loss to the gradients of the parameters."""
        with torch.enable_grad():
            leaves = [p.detach().requires_grad_() for p in self.parameters]
            logits = self._call(leaves, x)
            downstream = logit_gradient(logits.detach().transpose(1, 2)).transpose(1, 2).to(logits.dtype)
        for gradient, new in zip(self.gradients, vector_jacobian([logits], [downstream], leaves), strict=True):
            _add(gradient, new, beta)


def _add(total: torch.Tensor, summand: torch.Tensor, beta: float) -> None:
    """Compute ``total = beta * total + summand`` in place; with beta 0, a NaN in the total does not stay."""
    if beta:
        total.mul_(beta).add_(summand)
    else:
        total.copy_(summand)


def stack(network: nn.Module, copies: int) -> Stack:
    """Make copies of a network with its present weights.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (points, ...) to (points, outputs). It is not changed. The copies are in the same mode, training or
        evaluation.
    copies : int

    Returns
    -------
    Stack
    """
    chain = _is_chain(network)
    network = network if chain else _laid_out(copy.deepcopy(network))
    parameters = [p.detach().expand(copies, *p.shape).clone() for p in network.parameters()]
    if chain:
        return LinearStack(parameters)
    buffers = {name: b.detach().expand(copies, *b.shape).clone() for name, b in network.named_buffers()}
    return FunctionalStack(network, parameters, buffers=buffers if network.training else None)


def view_as_stack(network: nn.Module) -> Stack:
    """Return a stack of one copy that shares its parameters and buffers with the network.

    What changes the stack changes the network.
    """
    chain = _is_chain(network)
    network = network if chain else _laid_out(network)
    parameters = [p.detach().unsqueeze(0) for p in network.parameters()]
    return LinearStack(parameters) if chain else FunctionalStack(network, parameters)


def _laid_out(network: nn.Module) -> nn.Module:
    """Lay out the weights of convolutions as the device prefers; torch lays out everything that meets them likewise."""
    if next(network.parameters()).device.type in CHANNELS_LAST and _convolves(network):
        network.to(memory_format=torch.channels_last)
    return network


def _convolves(network: nn.Module) -> bool:
    return any(isinstance(module, _ConvNd) for module in network.modules())


def stackable(network: nn.Module, x: torch.Tensor) -> bool:
    """Whether copies of a network are trained together, in its present mode.

    Networks with convolutions are not. `torch.func` refuses networks that draw random numbers or read a number from a
    tensor, and it loses buffers that are replaced instead of changed in place. An error of any other cause occurs again
    when a single copy is trained, where it is reported.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        Points, of which two are used.
    """
    if _is_chain(network):
        return True
    if _convolves(network):
        return False
    single, copies = copy.deepcopy(network), stack(network, 2)
    try:
        with torch.no_grad():
            single(x[:2])
        copies.logits(x[:2].expand(2, *x[:2].shape))
    except Exception:
        return False
    buffers = getattr(copies, "buffers", None) or {}
    return all(
        torch.allclose(buffers[name][0], b, equal_nan=True) for name, b in single.named_buffers() if name in buffers
    )


@torch.no_grad()
def mixes_points(network: nn.Module, x: torch.Tensor) -> bool:
    """Whether an output depends on the other points of a minibatch, or a pass changes a buffer, in the present mode.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        Points, of which two are used.
    """
    if _is_chain(network):
        return False
    network, buffers = copy.deepcopy(network), [b.clone() for b in network.buffers()]
    try:
        of_two, of_three = network(x[:2]), network(x[[0, 1, 0]])
    except Exception:
        return True
    changed = any(not torch.equal(old, new) for old, new in zip(buffers, network.buffers(), strict=True))
    return changed or not torch.allclose(of_two, of_three[:2], rtol=1e-4, atol=1e-6)


def copies_within(budget: int | None, network: nn.Module, x: torch.Tensor, batch_size: int) -> int:
    """How many copies of a network can be trained together within a budget of memory.

    Parameters
    ----------
    budget : int, optional
        Bytes for parameters, gradients, the optimiser's moments and one minibatch with the outputs of all layers. By
        default `CPU_BUDGET`, or on a GPU most of the memory that is free.
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        Points. Their shape and device count, and not their number.
    batch_size : int

    Returns
    -------
    int
        From 1 to `MOST_COPIES`.
    """
    floats = 4 * sum(p.numel() for p in network.parameters()) + batch_size * (
        x[0].numel() + 2 * _activations(network, x)
    )
    itemsize = next(network.parameters()).itemsize
    if budget is None:
        budget = CPU_BUDGET if x.device.type == "cpu" else int(MARGIN * memory_of(str(x.device)))
    return max(1, min(MOST_COPIES, budget // (floats * itemsize)))


def _activations(network: nn.Module, x: torch.Tensor) -> int:
    """Total size of the outputs of all layers for one point, in numbers."""
    total = 0

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        total += output.numel() if isinstance(output, torch.Tensor) else 0

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            network.eval()(x[:2])  # batch normalisation without running statistics needs two points
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    return total // len(x[:2])


def _is_chain(network: nn.Module) -> bool:
    """Whether a network is an optional Flatten, then Linear, then any number of pairs of ReLU and Linear."""
    if type(network) is nn.Linear:
        return network.bias is not None
    if type(network) is not nn.Sequential:
        return False
    layers = list(network)
    if layers and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers = layers[1:]
    linear, activations = layers[::2], layers[1::2]
    return (
        len(layers) % 2 == 1
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in linear)
        and all(type(layer) is nn.ReLU for layer in activations)
        # No shared weights, no parametrised weights and no hooks, which matrix products would not respect.
        and [id(p) for layer in linear for p in (layer.weight, layer.bias)] == [id(p) for p in network.parameters()]
        and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
    )
