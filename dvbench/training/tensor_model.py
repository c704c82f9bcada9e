"""An OpenDataVal model that trains straight on tensors, in logits, with one loss, from its own generator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from opendataval.model import GradientModel
from opendataval.model.api import TorchModel
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import Dataset

from dvbench.settings import Kind, Precision
from dvbench.training.losses import point_losses
from dvbench.training.stack_training import group_by_size, train
from dvbench.training.stacks import Stack, copies_within, mixes_points, stack, stackable, view_as_stack
from dvbench.training.tensors import as_indices, as_tensor
from dvbench.training.utilities import require_finite

PREDICTION_CHUNK = 4096
GRADIENT_FLOATS = 2**26  # what per-point gradients may take at once: 256 MiB


class Fits:
    """Counts the fits of a model and of all its clones, and the seconds that checkpoints spared them."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0  # of language models only, in all runs together
        self.seconds_before = 0.0

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
    precision : {"float32", "bfloat16"}
        Of the products of training. With bfloat16, weights and AdamW stay in float32. It pays where a processor or a
        GPU has instructions for it; one without emulates it, many times slower.

    Attributes
    ----------
    fits : Fits
        How many times this model and its clones were fitted.
    """

    def __init__(
        self,
        network: nn.Module,
        kind: Kind,
        outputs: int,
        seed: int,
        weight_decay: float = 0.01,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self.network = network
        self.kind: Kind = kind
        self.num_classes = outputs
        self.seed = seed
        self.weight_decay = weight_decay
        self.precision = precision
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
        x, y = self._here(x_train, y_train)
        self.fits.count += 1
        if len(x) == 0:
            return self
        weight = None if sample_weight is None else torch.as_tensor(sample_weight).to(self.device).flatten()
        if weight is not None and len(weight) != len(x):
            raise ValueError(f"{len(x)} points and {len(weight)} weights")

        def start_epoch() -> None:
            if on_epoch is not None:
                on_epoch()
            self.train()

        self._train(
            view_as_stack(self.network), x, y, [torch.arange(len(x))], batch_size, epochs, lr, weight, start_epoch
        )
        return self

    def fit_many(
        self,
        x_train: torch.Tensor | Dataset,
        y_train: torch.Tensor | Dataset,
        coalitions: Sequence[np.ndarray],
        *,
        batch_size: int = 32,
        epochs: int = 10,
        lr: float = 3e-4,
        budget: int | None = None,
    ) -> Iterator[tuple[np.ndarray, Stack]]:
        """Train a copy on every coalition, many at once; each becomes what `fit` makes of a clone.

        Parameters
        ----------
        x_train, y_train : torch.Tensor or Dataset of length n
        coalitions : sequence of numpy.ndarray of int
            Points of each, in the order in which `fit` would be given them.
        batch_size, epochs, lr
            As for `fit`.
        budget : int, optional
            Bytes that the copies trained at once may take, see `dvbench.training.stacks.copies_within`.

        Yields
        ------
        numbers : numpy.ndarray of int, shape (k,)
            Which coalitions.
        stack : Stack
            Their k models, in evaluation mode.

        Raises
        ------
        FloatingPointError
            If training diverged.
        """
        x, y = self._here(x_train, y_train)
        sizes = np.array([len(coalition) for coalition in coalitions], dtype=int)
        most = self.at_once(x, batch_size=batch_size, budget=budget)
        network = self.network.train()
        together = stackable(network, x)
        # What mixes points, as batch normalisation does, cannot be padded.
        exactly = together and most > 1 and mixes_points(network, x)
        for numbers in group_by_size(sizes, most if together else 1, exactly=exactly):
            self.fits.count += len(numbers)
            copies = stack(network, len(numbers)) if together else view_as_stack(copy.deepcopy(network))
            if sizes[numbers[0]]:
                members = [as_indices(coalitions[number], len(x)) for number in numbers]
                self._train(copies, x, y, members, batch_size, epochs, lr)
            yield numbers, copies.eval()

    def at_once(self, x: torch.Tensor, *, batch_size: int = 32, budget: int | None = None, **_: Any) -> int:
        """How many copies `fit_many` trains at once on such points; it ignores the other settings of a fit."""
        return copies_within(budget, self.network, x.to(self.device), int(batch_size))

    def _here(self, x: torch.Tensor | Dataset, y: torch.Tensor | Dataset) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and targets as tensors on the model's device."""
        x, y = as_tensor(x).to(self.device), as_tensor(y).to(next(self.parameters()))
        if len(x) != len(y):
            raise ValueError(f"{len(x)} points and {len(y)} targets")
        return x, y

    def _train(
        self,
        copies: Stack,
        x: torch.Tensor,
        y: torch.Tensor,
        coalitions: Sequence[torch.Tensor],
        batch_size: int,
        epochs: int,
        lr: float,
        weight: torch.Tensor | None = None,
        on_epoch: Callable[[], None] | None = None,
    ) -> None:
        if int(batch_size) < 1 or int(epochs) < 0:
            raise ValueError(f"batch_size must be at least 1 and epochs not below 0, not {batch_size} and {epochs}")
        # A network that is random while it trains can draw from torch's global generators only.
        cuda = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.default_generator.manual_seed(self.seed)
            if cuda:
                torch.cuda.manual_seed(self.seed)
            train(
                copies,
                x,
                y,
                coalitions,
                batch_size=int(batch_size),
                epochs=int(epochs),
                lr=lr,
                weight_decay=self.weight_decay,
                moving=[parameter.requires_grad for parameter in self.network.parameters()],
                precision=self.precision,
                seed=self.seed,
                weight=weight,
                on_epoch=on_epoch,
            )

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

        Raises
        ------
        FloatingPointError
            If an output is NaN or infinite.
        """
        self.eval()
        parts = [self.network(part.to(self.device)) for part in as_tensor(x).split(PREDICTION_CHUNK)]
        logits = require_finite(torch.cat(parts))
        return logits.softmax(dim=1) if self.kind == "classification" else logits

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Logits or predicted targets of many points, in evaluation mode: (n, ...) to (1, outputs, n)."""
        return stack(self.network.eval(), 1).all_outputs(x.to(self.device))

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
