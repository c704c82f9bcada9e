"""An OpenDataVal model of points, which trains on tensors, with one loss on logits and its own random generator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from opendataval.model import GradientModel
from opendataval.model.api import TorchModel
from torch import nn
from torch.func import functional_call, vmap
from torch.utils.data import Dataset

from dvbench.settings import Kind, Precision
from dvbench.training.batch_normalisation import lone_points_normalised
from dvbench.training.losses import point_losses
from dvbench.training.repeated_steps import recorder
from dvbench.training.stack_training import OnGradient, group_by_size, train
from dvbench.training.stacks import LinearStack, Stack, copies_within, mixes_points, stack, stackable, view_as_stack
from dvbench.training.tensors import as_indices, as_tensor
from dvbench.training.utilities import require_finite

PREDICTION_CHUNK = 4096
GRADIENT_FLOATS = 2**26  # floats of the per-point gradients that are computed together: 256 MiB


class FitStatistics:
    """Number and duration of the fits of a model and all its clones, which share one object.

    Attributes
    ----------
    count : int
        Number of fits.
    seconds : float
        Duration of all fits of a language model, including steps before a fit was resumed; 0 for other models.
    resumed_seconds : float
        The part of ``seconds`` before a fit was resumed: an earlier process spent it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.resumed_seconds = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> FitStatistics:
        return self


class TensorModel(GradientModel, TorchModel):
    """A network with a last linear layer, trained with AdamW.

    It differs from OpenDataVal's torch models in three ways: it has no softmax or sigmoid before its loss, it converts
    data to tensors once instead of reading single points, and every fit shuffles with a new generator of the same seed.
    So the result of a fit depends only on initial weights, data and seed. Clones have the same initial weights, as
    OpenDataVal's evaluators expect.

    Parameters
    ----------
    network : torch.nn.Module
        Maps features (n, ...) to logits (n, outputs). `seeded` initialises it.
    kind : {"classification", "regression"}
    outputs : int
        Number of classes, or 1.
    seed : int
        Seed of the order of minibatches, and of dropout.
    weight_decay : float
        Weight decay of AdamW.
    precision : {"float32", "tf32", "bfloat16"}
        Precision of matrix products in training, see `dvbench.training.precision.products_in`. Weights and AdamW use
        float32 always. bfloat16 is faster on a processor or GPU with instructions for it, and many times slower on
        others. A model in tf32 unlearns in tf32 too.

    Attributes
    ----------
    fits : FitStatistics
        Number of fits of this model and all its clones.
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
        self.fits = FitStatistics()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits, or predicted targets of regression: (n, ...) to (n, outputs)."""
        outputs: torch.Tensor = self.network(x)
        return outputs

    def clone(self) -> TensorModel:
        """Return a copy with the same weights. Both count their fits in the same ``fits``."""
        return copy.deepcopy(self)

    def fit(
        self,
        x_train: torch.Tensor | Dataset[Any],
        y_train: torch.Tensor | Dataset[Any],
        *args: Any,
        sample_weight: torch.Tensor | None = None,
        batch_size: int = 32,
        epochs: int = 10,
        lr: float = 3e-4,
        on_epoch: Callable[[], None] | None = None,
        on_gradient: OnGradient | None = None,
    ) -> TensorModel:
        """Train from the current weights.

        Parameters
        ----------
        x_train, y_train : torch.Tensor or Dataset of length n
            If n is 0, weights do not change: the model of the empty coalition is the untrained one.
        sample_weight : torch.Tensor with n elements, optional
            Weight of each point's loss.
        batch_size, epochs : int
        lr : float
            Learning rate of AdamW.
        on_epoch : callable, optional
            Called at the start of every epoch.
        on_gradient : callable, optional
            Called in every step before the weights change, with the row numbers of the minibatch (1, batch) and the
            network as a stack of one copy, which has the gradient of the minibatch. A `LinearStack` has recorded it.

        Returns
        -------
        TensorModel
            This model.

        Raises
        ------
        FloatingPointError
            If training diverged: a weight is NaN or infinite.
        """
        if args:
            raise TypeError("give sample_weight, batch_size, epochs and lr by name")
        x, y = self._tensors_on_device(x_train, y_train)
        self.fits.count += 1
        if len(x) == 0:
            return self
        weight = self._weights_on_device(sample_weight, len(x))

        def start_epoch() -> None:
            assert on_epoch is not None
            on_epoch()
            self.train()

        self.train()
        copies, observe = view_as_stack(self.network), None if on_epoch is None else start_epoch
        if isinstance(copies, LinearStack):
            copies.recording = on_gradient is not None
        self._train(copies, x, y, [torch.arange(len(x))], batch_size, epochs, lr, weight, observe, on_gradient)
        return self

    def fit_many(
        self,
        x_train: torch.Tensor | Dataset[Any],
        y_train: torch.Tensor | Dataset[Any],
        coalitions: Sequence[np.ndarray],
        *,
        batch_size: int = 32,
        epochs: int = 10,
        lr: float = 3e-4,
        sample_weight: torch.Tensor | None = None,
        budget: int | None = None,
    ) -> Iterator[tuple[np.ndarray, Stack]]:
        """Train a copy on every coalition, many copies together. Each equals a clone that was trained with `fit`.

        Parameters
        ----------
        x_train, y_train : torch.Tensor or Dataset of length n
        coalitions : sequence of numpy.ndarray of int
            Row numbers of the points of each coalition, in the order in which `fit` would receive them.
        batch_size, epochs, lr, sample_weight
            As for `fit`; a point has the same weight in all coalitions.
        budget : int, optional
            Bytes for the copies that are trained together, see `dvbench.training.stacks.copies_within`. When memory
            runs out, half as many are trained together.

        Yields
        ------
        numbers : numpy.ndarray of int, shape (k,)
            Positions in ``coalitions``.
        stack : Stack
            The k models that were trained on these coalitions, in evaluation mode.

        Raises
        ------
        FloatingPointError
            If training diverged.
        """
        x, y = self._tensors_on_device(x_train, y_train)
        sizes = np.array([len(coalition) for coalition in coalitions], dtype=int)
        weight = self._weights_on_device(sample_weight, len(x))
        at_once = 1 if len(coalitions) == 1 else self.at_once(x, batch_size=batch_size, budget=budget)
        network = self.network.train()
        can_stack = stackable(network, x)
        # Where outputs depend on the whole minibatch, as with batch normalisation, minibatches cannot be padded.
        equal_sizes = can_stack and at_once > 1 and mixes_points(network, x)

        def train_together(numbers: np.ndarray) -> Stack:
            copies = stack(network, len(numbers)) if can_stack else view_as_stack(copy.deepcopy(network))
            if sizes[numbers[0]]:
                members = [as_indices(coalitions[number], len(x)) for number in numbers]
                self._train(copies, x, y, members, batch_size, epochs, lr, weight)
            return copies.eval()

        for group in group_by_size(sizes, at_once if can_stack else 1, equal_sizes=equal_sizes):
            others = group
            while len(others):
                numbers = others[:at_once]
                try:
                    copies = train_together(numbers)
                except torch.OutOfMemoryError:
                    if len(numbers) == 1:
                        raise
                else:
                    self.fits.count += len(numbers)
                    others = others[len(numbers) :]
                    yield numbers, copies
                    continue
                at_once = len(numbers) // 2  # of all groups from now on
                torch.cuda.empty_cache()

    def at_once(self, x: torch.Tensor, *, batch_size: int = 32, budget: int | None = None, **_: Any) -> int:
        """How many copies `fit_many` trains together on points of this shape. Other settings of `fit` are ignored."""
        return copies_within(budget, self.network, x.to(self.device), int(batch_size))

    def _tensors_on_device(
        self, x: torch.Tensor | Dataset[Any], y: torch.Tensor | Dataset[Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Convert points and targets to tensors on the model's device; targets also to its precision."""
        x, y = as_tensor(x).to(self.device), as_tensor(y).to(next(self.parameters()))
        if len(x) != len(y):
            raise ValueError(f"{len(x)} points and {len(y)} targets")
        return x, y

    def _weights_on_device(self, sample_weight: torch.Tensor | None, n: int) -> torch.Tensor | None:
        """Convert weights of n points to a vector on the model's device."""
        if sample_weight is None:
            return None
        weight = torch.as_tensor(sample_weight).to(self.device).flatten()
        if len(weight) != n:
            raise ValueError(f"{n} points and {len(weight)} weights")
        return weight

    def _train(
        self,
        copies: Stack,
        x: torch.Tensor,
        y: torch.Tensor,
        coalitions: Sequence[torch.Tensor],
        batch_size: int,
        epochs: int,
        lr: float,
        sample_weight: torch.Tensor | None = None,
        on_epoch: Callable[[], None] | None = None,
        on_gradient: OnGradient | None = None,
    ) -> None:
        """Train a stack of copies; parameters are those of `dvbench.training.stack_training.train`."""
        if int(batch_size) < 1 or int(epochs) < 0:
            raise ValueError(f"batch_size must be at least 1 and epochs not below 0, not {batch_size} and {epochs}")
        # Dropout and other random layers draw from torch's global generators, which are restored afterwards.
        cuda = [x.device] if x.device.type == "cuda" else []
        network = getattr(copies, "network", None)  # a chain of linear layers has no other layers
        with torch.random.fork_rng(devices=cuda), lone_points_normalised(network):
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
                trainable=[parameter.requires_grad for parameter in self.network.parameters()],
                precision=self.precision,
                seed=self.seed,
                sample_weight=sample_weight,
                on_epoch=on_epoch,
                on_gradient=on_gradient,
                # Copies of many sizes have steps of many shapes, and to record these takes longer than it saves.
                record=recorder(self.network) if copies.copies == 1 else None,
            )

    @torch.no_grad()
    def predict(self, x: torch.Tensor | Dataset[Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute class probabilities, or predicted targets of regression, in chunks.

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
        self, x_data: torch.Tensor | Dataset[Any], y_data: torch.Tensor | Dataset[Any], *args: Any, **kwargs: Any
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield the gradient of each point's loss with respect to all parameters, in evaluation mode.

        Parameters
        ----------
        x_data, y_data : torch.Tensor or Dataset of length n

        Yields
        ------
        tuple of torch.Tensor
            One tensor per parameter. There is one tuple per point.
        """
        self.eval()
        x, y = as_tensor(x_data).to(self.device), as_tensor(y_data).to(self.device)
        named, buffers = dict(self.network.named_parameters()), dict(self.network.named_buffers())

        def logits(weights: list[torch.Tensor], point: torch.Tensor) -> torch.Tensor:
            of_network = dict(zip(named, weights, strict=True))
            outputs: torch.Tensor = functional_call(self.network, (of_network, buffers), (point.unsqueeze(0),))
            return outputs.squeeze(0)

        chunk = max(1, GRADIENT_FLOATS // sum(parameter.numel() for parameter in named.values()))
        for points, targets in zip(x.split(chunk), y.split(chunk), strict=True) if len(x) else ():
            # Each point has parameters of its own, so that one backward pass gives the gradients of all.
            own = [p.detach().expand(len(points), *p.shape).requires_grad_() for p in named.values()]
            with torch.enable_grad():
                loss = point_losses(vmap(logits)(own, points), targets).sum()
            yield from zip(*torch.autograd.grad(loss, own, materialize_grads=True), strict=True)


def seeded(build: Callable[[], nn.Module], seed: int, device: str = "cpu") -> nn.Module:
    """Build a network with weights from a seed, and restore the state of torch's global generators.

    Layers can draw their initial weights from the global generator only, so it is seeded while they are built.

    Parameters
    ----------
    build : callable
    seed : int
    device : str
        Where the network is made; the same seed gives other weights on a GPU than on a CPU.
    """
    on_gpu = torch.device(device).type == "cuda"
    with torch.random.fork_rng(devices=[torch.device(device)] if on_gpu else []), torch.device(device):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.manual_seed(seed)
        return build()
