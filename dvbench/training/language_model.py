"""An OpenDataVal model of texts: a causal language model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.model import GradientModel
from opendataval.model.api import TorchModel
from torch import nn
from torch.utils.data import Dataset

from dvbench.problems.perplexity import NOT_PREDICTED
from dvbench.settings import Kind, Precision
from dvbench.training.checkpoints import Checkpoints, TrainingProgress, run_key
from dvbench.training.memory import parameter_count
from dvbench.training.tensor_model import Fits
from dvbench.training.tensors import as_tensor
from dvbench.training.text_batches import TextLoss, logits, passes
from dvbench.training.text_training import finite, train_texts

LONG = 10**10  # parameters times texts times epochs from which on training may be long enough to keep checkpoints


class LanguageModel(GradientModel, TorchModel):
    """A causal language model of transformers, trained by AdamW on texts.

    Texts are rows of token numbers, and a target is the position from which on a text's tokens count, see
    `dvbench.problems.perplexity`. What the model says of a text are the log-probabilities of its tokens. Like a
    `dvbench.training.tensor_model.TensorModel`, a fit is a function of initial weights, data and seed, and clones share the initial
    weights.

    Parameters
    ----------
    network : torch.nn.Module
        Maps token numbers to logits. Its dropout is switched off: training would not repeat.
    seed : int
        Seed of the order of minibatches.
    weight_decay : float
        AdamW's.
    precision : {"float32", "bfloat16"}
        Of the products.

    Attributes
    ----------
    fits : Fits
        How many times this model and its clones were fitted, and how much of that checkpoints had.
    seen : list
        What was noted at the start of every epoch of the last fit.
    seconds : float
        That the last fit took, in all runs together.
    """

    kind: Kind = "language"

    def __init__(
        self, network: nn.Module, seed: int, weight_decay: float = 0.01, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        silence_dropout(network)
        self.network = network
        self.seed = seed
        self.weight_decay = weight_decay
        self.precision: Precision = precision
        self.fits = Fits()
        self.seen: list[Any] = []
        self.seconds = 0.0

    def clone(self) -> LanguageModel:
        """Copy with the same weights, which shares the count of fits."""
        return copy.deepcopy(self)

    def fit(
        self,
        x_train: torch.Tensor | Dataset,
        y_train: torch.Tensor | Dataset,
        *args: Any,
        batch_size: int = 32,
        epochs: int = 5,
        lr: float = 3e-4,
        on_epoch: Callable[[], Any] | None = None,
        looks_at: Sequence[torch.Tensor] = (),
    ) -> LanguageModel:
        """Train from the current weights.

        Training that takes long is kept in checkpoints, is taken up again where it was left, and is not done a second
        time; where there are several GPUs, all of them do it.

        Parameters
        ----------
        x_train, y_train : torch.Tensor or Dataset of length n
            Nothing happens where n is 0: the model of the empty coalition is the untrained one.
        batch_size, epochs : int
        lr : float
            AdamW's learning rate.
        on_epoch : callable, optional
            Called at the start of every epoch. What it returns is noted in ``seen``, and must be something that JSON
            holds.
        looks_at : sequence of torch.Tensor
            What ``on_epoch`` looks at beside the model and its training data: a checkpoint is taken up only where it
            looked at the same.

        Returns
        -------
        LanguageModel
            Itself.

        Raises
        ------
        FloatingPointError
            If training diverged.
        """
        if args:
            raise TypeError("give batch_size, epochs and lr by name")
        x, y = as_tensor(x_train), as_tensor(y_train)
        self.fits.count += 1
        if len(x) == 0:
            return self
        how: dict[str, Any] = {
            "batch_size": int(batch_size),
            "epochs": int(epochs),
            "lr": lr,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
            "precision": self.precision,
        }
        long = len(x) * epochs * parameter_count(self.network) >= LONG
        watcher = (getattr(on_epoch, "__module__", None), getattr(on_epoch, "__qualname__", None))
        kept = Checkpoints(run_key(self.network, x, y, how, watcher, self.device.type, *looks_at)) if long else None
        train: Callable[..., tuple[TrainingProgress, float]] = train_texts
        gpus = torch.cuda.device_count() if self.device.type == "cuda" else 1
        if long and gpus > 1:
            from dvbench.training.distributed import train_on_several

            train = partial(train_on_several, processes=gpus)
        reached, spared = train(self.network, x, y, **how, checkpoints=kept, on_epoch=on_epoch)
        self.fits.seconds_before += spared
        self.fits.seconds += reached.seconds
        self.seen, self.seconds = reached.seen, reached.seconds
        return self

    def fit_many(
        self,
        x_train: torch.Tensor,
        y_train: torch.Tensor,
        coalitions: Sequence[np.ndarray],
        **how: Any,
    ) -> Iterator[tuple[np.ndarray, LanguageModel]]:
        """Train a clone on every coalition, one after the other.

        Parameters
        ----------
        x_train, y_train : torch.Tensor of length n
        coalitions : sequence of numpy.ndarray of int
            Texts of each.
        **how
            As for `fit`.

        Yields
        ------
        numbers : numpy.ndarray of int, shape (1,)
            Which coalition.
        model : LanguageModel
        """
        for number, coalition in enumerate(coalitions):
            rows = torch.from_numpy(np.asarray(coalition, dtype=np.int64))
            yield np.array([number]), self.clone().fit(x_train[rows], y_train[rows], **how)

    @torch.no_grad()
    def predict(self, x: torch.Tensor | Dataset, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Log-probability of every token given those before it.

        Parameters
        ----------
        x : torch.Tensor or Dataset of shape (n, length)

        Returns
        -------
        torch.Tensor of shape (n, length)
            On the CPU; `dvbench.problems.perplexity.NOT_PREDICTED` where there is no token, or the first one of a text.

        Raises
        ------
        FloatingPointError
            If one of them is NaN or infinite.
        """
        self.network.eval()
        x = as_tensor(x)
        found = torch.full(x.shape, NOT_PREDICTED)
        for part, batch in passes(self.network, x, torch.ones(len(x), 1)):
            with self.autocast():
                said = -F.cross_entropy(logits(self.network, batch), batch.targets, reduction="none").cpu()
            if not bool(said.isfinite().all()):
                raise FloatingPointError("a model diverged: its outputs are NaN or infinite; lower the learning rate")
            # Rounding can take a probability of one above it.
            found[part, 1 : batch.tokens.shape[1]][batch.counts.cpu()] = said.clamp(max=0.0).to(found)
        return found

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of tokens as `predict` returns them, transposed: (n, length) to (1, length, n)."""
        return self.predict(x).T.unsqueeze(0)

    def finite(self) -> torch.Tensor:
        """Whether all parameters are finite, bool of shape (1,), as of a stack of one model."""
        return finite(self.network)

    def autocast(self) -> torch.autocast:
        """The context in which products have the model's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def loss_gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[list[torch.Tensor], int]:
        """Gradient of the negative log-probability of texts, summed over their tokens; and how many those are.

        Parameters
        ----------
        x, y : torch.Tensor of shape (n, length) and (n, 1)

        Returns
        -------
        gradient : list of torch.Tensor
            One a parameter.
        tokens : int
            That count.
        """
        # In evaluation mode a network keeps all activations, whatever it was told.
        network, loss, tokens = self.network.train(), TextLoss(self.network), 0
        parameters = list(network.parameters())
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for _, batch in passes(network, x, y):
            tokens += int(batch.counts.sum())
            with self.autocast():
                summed = loss(batch.tokens, batch.counts)
            for into, part in zip(total, torch.autograd.grad(summed, parameters), strict=True):
                into += part
        network.eval()
        return total, tokens

    def grad(
        self, x_data: torch.Tensor | Dataset, y_data: torch.Tensor | Dataset, *args: Any, **kwargs: Any
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """Gradient of each text's mean loss with respect to all parameters, one tensor a parameter."""
        x, y = as_tensor(x_data), as_tensor(y_data)
        for i in range(len(x)):
            gradient, tokens = self.loss_gradient(x[i : i + 1], y[i : i + 1])
            yield tuple(part / max(1, tokens) for part in gradient)


def silence_dropout(network: nn.Module) -> None:
    """Switch dropout off, in whichever of their ways transformers' models have it."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
