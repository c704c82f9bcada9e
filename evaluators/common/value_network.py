"""Networks that predict values of points from their features and labels, in double precision."""

from __future__ import annotations

import torch

from dvbench.training.optimisers import BETAS, EPSILON


def as_one_vector(network: torch.nn.Module) -> tuple[torch.nn.Parameter, torch.Tensor]:
    """Move a network's parameters into one vector, and their gradients into another: an optimiser of one is faster."""
    parameters = list(network.parameters())
    weights = torch.nn.Parameter(torch.nn.utils.parameters_to_vector(parameters).detach())
    weights.grad = gradient = torch.zeros_like(weights)
    torch.nn.utils.vector_to_parameters(weights.detach(), parameters)
    for parameter, part in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)
    return weights, gradient


def initialise(network: torch.nn.Module, generator: torch.Generator) -> None:
    """Draw weights as torch does, in double precision: torch's numbers differ in the last digit between processors."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear):
            bound = layer.in_features**-0.5
            for part in (layer.weight, layer.bias):
                uniform = torch.rand(part.shape, generator=generator, dtype=torch.float64)
                part.data.copy_(((2 * uniform - 1) * bound).float())


class Adam:
    """Adam with torch's defaults, on one vector of weights.

    The constructor of `torch.optim.Adam` loads torch's compiler, for about as long as it takes to compute values.

    Parameters
    ----------
    weights, gradient : torch.Tensor of shape (p,)
        See `as_one_vector`.
    lr : float
    """

    def __init__(self, weights: torch.Tensor, gradient: torch.Tensor, lr: float) -> None:
        self.weights, self.gradient, self.lr = weights, gradient, lr
        self._moments = [torch.zeros_like(weights) for _ in range(2)]
        self._count = torch.zeros((), device=weights.device)

    def step(self) -> None:
        """Change the weights by the gradient."""
        self._count += 1
        torch._fused_adam_(
            [self.weights],
            [self.gradient],
            self._moments[:1],
            self._moments[1:],
            [],
            [self._count],
            lr=self.lr,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
