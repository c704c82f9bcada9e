"""An OpenDataVal model that trains straight on tensors, in logits, with one loss, from its own generator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from opendataval.model import GradientModel
from opendataval.model.api import TorchModel
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import Dataset

from dvbench.models.losses import point_losses, residuals
from dvbench.models.tensors import as_tensor
from dvbench.randomness import torch_generator
from dvbench.settings import Kind

PREDICTION_CHUNK = 4096
GRADIENT_FLOATS = 2**26  # what per-point gradients may take at once: 256 MiB


class Fits:
    """Counts the fits of a model and of all its clones."""

    def __init__(self) -> None:
        self.count = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Fits:
        return self


class TensorModel(GradientModel, TorchModel):
    """A network with a linear last layer, trained by AdamW.

    Unlike OpenDataVal's torch models it has no softmax or sigmoid before its loss, gathers its data once instead of
    point by point, and shuffles with a generator of its own that every fit starts anew: a fit is a function of initial
    weights, data and seed. Clones share the initial weights, as OpenDataVal's evaluators expect.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, ...) features to (n, outputs) logits; `seeded` initialises it.
    kind : {"classification", "regression"}
    outputs : int
        Number of classes, or 1.
    seed : int
        Seed of the order of minibatches (and of dropout, if there is any).
    weight_decay : float
        AdamW's weight decay.

    Attributes
    ----------
    fits : Fits
        How many times this model and its clones were fitted.
    """

    def __init__(self, network: nn.Module, kind: Kind, outputs: int, seed: int, weight_decay: float = 0.01) -> None:
        super().__init__()
        self.network = network
        self.kind = kind
        self.num_classes = outputs
        self.seed = seed
        self.weight_decay = weight_decay
        self.fits = Fits()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, or predicted targets: (n, ...) to (n, outputs)."""
        return self.network(x)

    def clone(self) -> TensorModel:
        """Copy with the same weights, which shares the count of fits."""
        return copy.deepcopy(self)

    def fit(
        self,
        x_train: torch.Tensor | Dataset,
        y_train: torch.Tensor | Dataset,
        *args: Any,
        sample_weight: torch.Tensor | None = None,
        batch_size: int = 32,
        epochs: int = 10,
        lr: float = 3e-4,
        on_epoch: Callable[[], None] | None = None,
    ) -> TensorModel:
        """Train from the current weights.

        Parameters
        ----------
        x_train, y_train : torch.Tensor or Dataset of length n
            Nothing happens where n is 0: the model of the empty coalition is the untrained one.
        sample_weight : torch.Tensor with n elements, optional
            Weight of each point's loss.
        batch_size, epochs : int
        lr : float
            AdamW's learning rate.
        on_epoch : callable, optional
            Called at the start of every epoch.

        Returns
        -------
        TensorModel
            Itself.

        Raises
        ------
        FloatingPointError
            If training diverged: a weight is NaN or infinite.
        """
        if args:
            raise TypeError("give sample_weight, batch_size, epochs and lr by name")
        x, y = as_tensor(x_train).to(self.device), as_tensor(y_train).to(self.device)
        if len(x) != len(y):
            raise ValueError(f"{len(x)} points and {len(y)} targets")
        weight = None if sample_weight is None else sample_weight.to(self.device).reshape(-1, 1)
        self.fits.count += 1
        if len(x) == 0:
            return self
        with torch.random.fork_rng(enabled=self._draws_while_training()):
            self._train(x, y, weight, int(batch_size), int(epochs), lr, on_epoch)
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters()):
            raise FloatingPointError(f"training diverged at learning rate {lr:g}; lower it")
        return self

    def _train(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        weight: torch.Tensor | None,
        batch_size: int,
        epochs: int,
        lr: float,
        on_epoch: Callable[[], None] | None,
    ) -> None:
        generator = torch_generator(self.seed)
        if self._draws_while_training():
            torch.manual_seed(self.seed)
        optimiser = torch.optim.AdamW(self.parameters(), lr=lr, weight_decay=self.weight_decay, fused=True)
        for _ in range(epochs):
            if on_epoch is not None:
                on_epoch()
            self.train()
            order = torch.randperm(len(x), generator=generator).to(self.device)
            for batch in order.split(batch_size):
                logits = self.network(x[batch])
                # The mean loss's gradient in the logits is known: starting there halves the time of a small step.
                slope = residuals(logits.detach(), y[batch]) / len(batch)
                optimiser.zero_grad()
                logits.backward(slope if weight is None else slope * weight[batch])
                optimiser.step()

    def _draws_while_training(self) -> bool:
        """Whether the network itself is random while it trains, which torch allows from its global generator only."""
        return any(isinstance(module, nn.modules.dropout._DropoutNd) for module in self.modules())

    @torch.no_grad()
    def predict(self, x: torch.Tensor | Dataset, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Class probabilities, or predicted targets, in chunks.

        Parameters
        ----------
        x : torch.Tensor or Dataset of length n

        Returns
        -------
        torch.Tensor of shape (n, outputs)
            On the model's device.
        """
        self.eval()
        parts = [self.network(part.to(self.device)) for part in as_tensor(x).split(PREDICTION_CHUNK)]
        logits = torch.cat(parts)
        return logits.softmax(dim=1) if self.kind == "classification" else logits

    def grad(
        self, x_data: torch.Tensor | Dataset, y_data: torch.Tensor | Dataset, *args: Any, **kwargs: Any
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """Gradient of each point's loss with respect to all parameters, in evaluation mode.

        Parameters
        ----------
        x_data, y_data : torch.Tensor or Dataset of length n

        Yields
        ------
        tuple of torch.Tensor
            One tensor a parameter, point by point.
        """
        self.eval()
        x, y = as_tensor(x_data).to(self.device), as_tensor(y_data).to(self.device)
        parameters = {name: parameter.detach() for name, parameter in self.network.named_parameters()}
        buffers = dict(self.network.named_buffers())

        def loss(weights: dict[str, torch.Tensor], point: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            logits = functional_call(self.network, (weights, buffers), (point.unsqueeze(0),))
            return point_losses(logits, target.unsqueeze(0)).squeeze(0)

        gradients = vmap(grad(loss), in_dims=(None, 0, 0))
        chunk = max(1, GRADIENT_FLOATS // sum(parameter.numel() for parameter in parameters.values()))
        for points, targets in zip(x.split(chunk), y.split(chunk), strict=True):
            batch = gradients(parameters, points, targets)
            for i in range(len(points)):
                yield tuple(batch[name][i] for name in parameters)


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with weights drawn from a seed, leaving torch's global generator as it was.

    Layers draw their initial weights from the global generator and offer no other way, so it is lent to them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()
