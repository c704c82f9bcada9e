"""Many copies of a network side by side: their parameters are stacked, and one operation serves all of them.

Stacked tensors have the copies first. Points come last: logits have shape (copies, outputs, points), because products
and softmaxes along a middle dimension run over contiguous points, which is more than twice as fast on a CPU.

A chain of linear layers with ReLU is written out in matrix products; any other network goes through `torch.func`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap

LogitGradient = Callable[[torch.Tensor], torch.Tensor]

POINTS, CHUNK = 4096, 2**18  # in one forward pass without gradients: points, and points times copies
BUDGET = {"cpu": 2**22, "cuda": 2**32}  # bytes; on a CPU a share of its cache, or memory is what limits the speed


class Stack(ABC):
    """Copies of one network.

    Attributes
    ----------
    parameters, gradients : list of torch.Tensor of shape (copies, ...)
        In the order of ``network.parameters()``.
    copies : int
    """

    def __init__(self, parameters: list[torch.Tensor], gradients: list[torch.Tensor] | None = None) -> None:
        self.parameters = parameters
        self.gradients = [torch.zeros_like(p) for p in parameters] if gradients is None else gradients
        self.copies = len(parameters[0])

    @abstractmethod
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Run all copies, without gradients.

        Parameters
        ----------
        x : torch.Tensor of shape (copies, points, ...), or (1, points, ...) for points that all copies see

        Returns
        -------
        torch.Tensor of shape (copies, outputs, points)
        """

    @abstractmethod
    def accumulate_gradient(self, x: torch.Tensor, slope: LogitGradient, beta: float = 0.0) -> None:
        """Pull a gradient in the logits back to the parameters: gradients = beta * gradients + J^T slope(logits).

        Parameters
        ----------
        x : torch.Tensor
            As for `logits`.
        slope : callable
            From logits to the gradient of a loss with respect to them, both (copies, outputs, points).
        beta : float
            How much of the gradients that are there is kept.
        """

    @abstractmethod
    def __getitem__(self, part: slice) -> Stack:
        """View of some of the copies."""

    def eval(self) -> Stack:
        """Switch to evaluation mode; returns itself."""
        return self

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of all copies on many points, computed in chunks: (points, ...) to (copies, outputs, points)."""
        points = max(16, min(POINTS, CHUNK // self.copies))
        chunks = x.to(self.parameters[0].device).split(points)
        return torch.cat([self.logits(chunk.unsqueeze(0)) for chunk in chunks], dim=2)

    def finite(self) -> torch.Tensor:
        """Which copies have finite parameters only, bool of shape (copies,)."""
        return torch.stack([p.reshape(len(p), -1).isfinite().all(dim=1) for p in self.parameters]).all(dim=0)


class LinearStack(Stack):
    """Copies of a chain of linear layers with ReLU in between."""

    def __getitem__(self, part: slice) -> LinearStack:
        return LinearStack([p[part] for p in self.parameters], [g[part] for g in self.gradients])

    def _outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Input and output of every layer, each (copies, width, points); the input's copies may be 1."""
        outputs = [x.flatten(2).transpose(1, 2)]
        for weight, bias in zip(self.parameters[::2], self.parameters[1::2], strict=True):
            if len(outputs) > 1:
                outputs[-1].relu_()
            inputs, shift = outputs[-1], bias.unsqueeze(2)
            if len(inputs) < self.copies:  # one large product instead of many small ones
                product = torch.addmm(shift.reshape(-1, 1), weight.reshape(-1, weight.shape[2]), inputs[0])
                outputs.append(product.view(self.copies, -1, inputs.shape[2]))
            else:
                outputs.append(torch.baddbmm(shift, weight, inputs))
        return outputs

    @torch.no_grad()
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Run all copies, without gradients."""
        return self._outputs(x)[-1]

    @torch.no_grad()
    def accumulate_gradient(self, x: torch.Tensor, slope: LogitGradient, beta: float = 0.0) -> None:
        """Pull a gradient in the logits back to the parameters."""
        *inputs, logits = self._outputs(x)
        downstream = slope(logits)
        for i in reversed(range(len(inputs))):
            weight, into, shift = self.parameters[2 * i], self.gradients[2 * i], self.gradients[2 * i + 1]
            if torch.is_autocast_enabled(x.device.type):  # which knows of no sums in place
                _add(into, torch.bmm(downstream, inputs[i].transpose(1, 2).expand(self.copies, -1, -1)), beta)
            elif len(inputs[i]) < self.copies:
                flat = downstream.reshape(-1, downstream.shape[2])
                into.view(-1, into.shape[2]).addmm_(flat, inputs[i][0].T, beta=beta)
            else:
                torch.baddbmm(into, downstream, inputs[i].transpose(1, 2), beta=beta, out=into)
            _add(shift, downstream.sum(dim=2), beta)
            if i:
                # After ReLU an input is positive, or zero and lets nothing through: its sign is ReLU's derivative.
                downstream = torch.bmm(weight.transpose(1, 2), downstream).mul_(inputs[i].sign_())


class FunctionalStack(Stack):
    """Copies of any network, by `torch.func`.

    Parameters
    ----------
    network : torch.nn.Module
        Its modules, its mode and its buffers are used; (points, ...) to (points, outputs).
    parameters, gradients : list of torch.Tensor of shape (copies, ...)
    buffers : dict of str to torch.Tensor, optional
        Stacked buffers, where each copy has its own: batch normalisation that is being trained. Without, all copies
        use the network's.
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
        """Switch to evaluation mode; returns itself."""
        self.network.eval()
        return self

    def _call(self, parameters: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Logits (copies, points, outputs)."""

        def call(parameters: list[torch.Tensor], buffers: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
            named = dict(zip(self._names, parameters, strict=True))
            return functional_call(self.network, {**named, **buffers}, (x,))

        if self.copies == 1:
            buffers = {name: b[0] for name, b in (self.buffers or {}).items()}
            # Not p[0], whose gradient is first filled with zeros.
            return call([p.squeeze(0) for p in parameters], buffers, x[0]).unsqueeze(0)
        shared = len(x) < self.copies
        batched = vmap(call, in_dims=(0, 0, None if shared else 0))
        return batched(list(parameters), self.buffers or {}, x[0] if shared else x)

    @torch.no_grad()
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Run all copies, without gradients."""
        return self._call(self.parameters, x).transpose(1, 2)

    def accumulate_gradient(self, x: torch.Tensor, slope: LogitGradient, beta: float = 0.0) -> None:
        """Pull a gradient in the logits back to the parameters."""
        with torch.enable_grad():
            leaves = [p.detach().requires_grad_() for p in self.parameters]
            logits = self._call(leaves, x)
            downstream = slope(logits.detach().transpose(1, 2)).transpose(1, 2).to(logits.dtype)
            found = torch.autograd.grad(logits, leaves, downstream, materialize_grads=True)
        for gradient, new in zip(self.gradients, found, strict=True):
            _add(gradient, new, beta)


def _add(total: torch.Tensor, part: torch.Tensor, beta: float) -> None:
    """Make a total beta times itself, whatever it is where beta is 0, plus a part."""
    if beta:
        total.mul_(beta).add_(part)
    else:
        total.copy_(part)


def stack(network: nn.Module, copies: int) -> Stack:
    """Copies of a network that start from its present weights.

    Parameters
    ----------
    network : torch.nn.Module
        (points, ...) to (points, outputs). It is not changed; its mode stays that of the copies.
    copies : int

    Returns
    -------
    Stack
    """
    parameters = [p.detach().expand(copies, *p.shape).clone() for p in network.parameters()]
    if _is_chain(network):
        return LinearStack(parameters)
    network = copy.deepcopy(network)
    own = {name: b.detach().expand(copies, *b.shape).clone() for name, b in network.named_buffers()}
    return FunctionalStack(network, parameters, buffers=own if network.training else None)


def view_as_stack(network: nn.Module) -> Stack:
    """A network as a stack of one, whose parameters and buffers are the network's own and move with it."""
    parameters = [p.detach().unsqueeze(0) for p in network.parameters()]
    return LinearStack(parameters) if _is_chain(network) else FunctionalStack(network, parameters)


def stackable(network: nn.Module, x: torch.Tensor) -> bool:
    """Whether copies of a network can move together, in the mode that it is in.

    `torch.func` refuses what draws random numbers or takes a number out of a tensor, and forgets buffers that are
    replaced instead of changed. Whatever else fails here fails for one copy too, and says why there.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        Points.
    """
    if _is_chain(network):
        return True
    one, two = copy.deepcopy(network), stack(network, 2)
    try:
        with torch.no_grad():
            one(x[:2])
        two.logits(x[:2].expand(2, *x[:2].shape))
    except Exception:
        return False
    buffers = getattr(two, "buffers", None) or {}
    return all(
        torch.allclose(buffers[name][0], b, equal_nan=True) for name, b in one.named_buffers() if name in buffers
    )


@torch.no_grad()
def mixes_points(network: nn.Module, x: torch.Tensor) -> bool:
    """Whether the points of a minibatch act on each other, or leave something behind, in the mode a network is in.

    Parameters
    ----------
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        Points, of which it is given a few.
    """
    if _is_chain(network):
        return False
    network, before = copy.deepcopy(network), [b.clone() for b in network.buffers()]
    try:
        two, three = network(x[:2]), network(x[[0, 1, 0]])
    except Exception:
        return True
    changed = any(not torch.equal(old, new) for old, new in zip(before, network.buffers(), strict=True))
    return changed or not torch.allclose(two, three[:2], rtol=1e-4, atol=1e-6)


def copies_within(budget: int | None, network: nn.Module, x: torch.Tensor, batch_size: int) -> int:
    """How many copies to move at once.

    Parameters
    ----------
    budget : int, optional
        Bytes for parameters, gradients, the optimiser's state and one minibatch with all layers' outputs. By default
        `BUDGET` of the device.
    network : torch.nn.Module
    x : torch.Tensor of shape (n, ...)
        Points; their number does not matter.
    batch_size : int

    Returns
    -------
    int
        At least 1.
    """
    floats = 4 * sum(p.numel() for p in network.parameters()) + batch_size * (
        x[0].numel() + 2 * _activations(network, x)
    )
    itemsize = next(network.parameters()).itemsize
    return max(1, (BUDGET.get(x.device.type, BUDGET["cuda"]) if budget is None else budget) // (floats * itemsize))


def _activations(network: nn.Module, x: torch.Tensor) -> int:
    """Numbers that all layers together put out for one point."""
    total = 0

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        total += output.numel() if isinstance(output, torch.Tensor) else 0

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            network.eval()(x[:2])  # two: batch normalisation without running statistics needs them
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    return total // len(x[:2])


def _is_chain(network: nn.Module) -> bool:
    """Whether a network is: perhaps Flatten; then Linear, and any number of ReLU and Linear."""
    if type(network) is nn.Linear:
        return network.bias is not None
    if type(network) is not nn.Sequential:
        return False
    layers = list(network)
    if layers and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers = layers[1:]
    linear, between = layers[::2], layers[1::2]
    return (
        len(layers) % 2 == 1
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in linear)
        and all(type(layer) is nn.ReLU for layer in between)
        # Neither weights that layers share, nor parametrised ones, nor hooks that look on.
        and [id(p) for layer in linear for p in (layer.weight, layer.bias)] == [id(p) for p in network.parameters()]
        and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
    )
