"""An OpenDataVal model of texts: a causal language model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.model import GradientModel
from opendataval.model.api import TorchModel
from torch import nn
from torch.utils.data import Dataset

from dvbench.errors import UserError
from dvbench.files import one_process_at_a_time
from dvbench.problems.perplexity import NOT_PREDICTED
from dvbench.settings import Kind, Precision
from dvbench.training.checkpoints import Checkpoints, TrainingProgress, run_key, seconds_between
from dvbench.training.memory import parameter_count
from dvbench.training.output_chunks import full_precision, logits_of
from dvbench.training.pass_size import PassSize
from dvbench.training.recompute import recomputation
from dvbench.training.tensor_model import FitStatistics
from dvbench.training.tensors import as_tensor
from dvbench.training.text_batches import TextBatch, TextLoss, features, output_layer, passes
from dvbench.training.text_training import AroundStep, finite, train_texts

# Training writes checkpoints if parameters x texts x epochs are at least this many. Shorter training is repeated faster
# than its weights are hashed and written.
LONG_TRAINING = 10**10


class LanguageModel(GradientModel, TorchModel):
    """A causal language model of transformers, trained with AdamW on texts.

    Texts are rows of token numbers. The target of a text is the position of its first token that counts in the loss,
    see `dvbench.problems.perplexity`. The model predicts the log-probability of every token. As for a
    `dvbench.training.tensor_model.TensorModel`, the result of a fit depends only on initial weights, data and seed, and
    clones have the same initial weights.

    Parameters
    ----------
    network : torch.nn.Module
        Maps token numbers to logits. Its dropout is switched off, because training must be deterministic.
    seed : int
        Seed of the order of minibatches.
    weight_decay : float
        Weight decay of AdamW.
    precision : {"float32", "bfloat16"}
        Precision of matrix products.

    Attributes
    ----------
    fits : FitStatistics
        Number and duration of the fits of this model and all its clones.
    epoch_results : list
        What ``on_epoch`` returned at the start of each epoch of the last fit.
    seconds : float
        Duration of the last fit, including steps before it was resumed.
    """

    kind: Kind = "language"

    def __init__(
        self, network: nn.Module, seed: int, weight_decay: float = 0.01, precision: Precision = "float32"
    ) -> None:
        if precision == "tf32":
            raise UserError("tf32 is for models of points; the precision of texts is float32 or bfloat16")
        super().__init__()
        silence_dropout(network)
        self.network = network
        self.seed = seed
        self.weight_decay = weight_decay
        self.precision: Precision = precision
        self.fits = FitStatistics()
        self.epoch_results: list[Any] = []
        self.seconds = 0.0

    def clone(self) -> LanguageModel:
        """Return a copy with the same weights. Both count their fits in the same ``fits``."""
        return copy.deepcopy(self)

    def fit(
        self,
        x_train: torch.Tensor | Dataset[Any],
        y_train: torch.Tensor | Dataset[Any],
        *args: Any,
        batch_size: int = 32,
        epochs: int = 5,
        lr: float = 3e-4,
        on_epoch: Callable[[], Any] | None = None,
        callback_data: Sequence[torch.Tensor] = (),
        around_step: AroundStep | None = None,
    ) -> LanguageModel:
        """Train from the current weights.

        Long training writes checkpoints: it is resumed after an interruption, and the same training is not repeated. It
        uses all GPUs if the model is on a GPU.

        Parameters
        ----------
        x_train, y_train : torch.Tensor or Dataset of length n
            If n is 0, weights do not change: the model of the empty coalition is the untrained one.
        batch_size, epochs : int
        lr : float
            Learning rate of AdamW.
        on_epoch : callable, optional
            Called at the start of every epoch. Its results are collected in ``epoch_results``. JSON must be able to
            store them.
        callback_data : sequence of torch.Tensor
            Data that ``on_epoch`` uses besides the model and its training data. A checkpoint is used only if they are
            the same.
        around_step : callable, optional
            Gets the rows of each minibatch, and returns a context in which its gradient is computed. Such training uses
            one device and writes no checkpoints.

        Returns
        -------
        LanguageModel
            This model.

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
        settings: dict[str, Any] = {
            "batch_size": int(batch_size),
            "epochs": int(epochs),
            "lr": lr,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
            "precision": self.precision,
        }
        long = around_step is None and len(x) * epochs * parameter_count(self.network) >= LONG_TRAINING
        checkpoints = None
        if long:
            callback = (getattr(on_epoch, "__module__", None), getattr(on_epoch, "__qualname__", None))
            key = run_key(self.network, x, y, settings, callback, self.device.type, *callback_data)
            checkpoints = Checkpoints(key, every=seconds_between(self.network))
        train: Callable[..., tuple[TrainingProgress, float]] = partial(train_texts, around_step=around_step)
        gpus = torch.cuda.device_count() if self.device.type == "cuda" else 1
        if long and gpus > 1:
            from dvbench.training.distributed import train_on_several

            train = partial(train_on_several, processes=gpus)
        # Other processes that train the same network wait, and read the finished checkpoint.
        with nullcontext() if checkpoints is None else one_process_at_a_time(checkpoints.folder.name):
            progress, resumed_seconds = train(
                self.network, x, y, **settings, checkpoints=checkpoints, on_epoch=on_epoch
            )
        self.fits.resumed_seconds += resumed_seconds
        self.fits.seconds += progress.seconds
        self.epoch_results, self.seconds = progress.epoch_results, progress.seconds
        return self

    def fit_many(
        self,
        x_train: torch.Tensor,
        y_train: torch.Tensor,
        coalitions: Sequence[np.ndarray],
        **settings: Any,
    ) -> Iterator[tuple[np.ndarray, LanguageModel]]:
        """Train a clone on every coalition, one after the other.

        Parameters
        ----------
        x_train, y_train : torch.Tensor of length n
        coalitions : sequence of numpy.ndarray of int
            Row numbers of the texts of each coalition.
        **settings
            Keyword arguments of `fit`.

        Yields
        ------
        numbers : numpy.ndarray of int, shape (1,)
            Position of the coalition in ``coalitions``.
        model : LanguageModel
            The model that was trained on it.
        """
        for number, coalition in enumerate(coalitions):
            rows = torch.from_numpy(np.asarray(coalition, dtype=np.int64))
            yield np.array([number]), self.clone().fit(x_train[rows], y_train[rows], **settings)

    @torch.no_grad()
    def predict(self, x: torch.Tensor | Dataset[Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Log-probability of every token given the tokens before it.

        Parameters
        ----------
        x : torch.Tensor or Dataset of shape (n, length)

        Returns
        -------
        torch.Tensor of shape (n, length)
            On the CPU. `dvbench.problems.perplexity.NOT_PREDICTED` for padding and for the first token of a text.

        Raises
        ------
        FloatingPointError
            If a log-probability is NaN or infinite.
        """
        self.network.eval()
        x = as_tensor(x)
        predicted = torch.full(x.shape, NOT_PREDICTED)
        size = PassSize(self.network)

        def predict_in_passes() -> None:
            for rows, batch in passes(x, torch.ones(len(x), 1), size):
                log_p = self._log_probabilities(batch, size)
                predicted[rows, 1 : batch.tokens.shape[1]][batch.counts] = log_p.to(predicted)

        size.attempt(predict_in_passes)
        return predicted

    def _log_probabilities(self, batch: TextBatch, size: PassSize) -> torch.Tensor:
        """Log-probabilities of the tokens of a minibatch that count, on the CPU."""
        layer = output_layer(self.network)
        with self.autocast():
            entering = features(self.network, batch)
            targets = batch.targets.to(entering.device)
            losses = [
                F.cross_entropy(full_precision(logits_of(layer, entering[chunk])), targets[chunk], reduction="none")
                for chunk in batch.chunks(size.chunk_texts(batch.tokens.shape[1]))
            ]
        log_p = -torch.cat([entering.new_empty(0), *losses]).cpu()
        if not bool(log_p.isfinite().all()):
            raise FloatingPointError("a model diverged: its outputs are NaN or infinite; use a lower learning rate")
        return log_p.clamp(max=0.0)  # rounding can make a probability larger than one

    @torch.no_grad()
    def features(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """What enters the output layer for every token that counts, in evaluation mode.

        Parameters
        ----------
        x, y : torch.Tensor of shape (n, length) and (n, 1)

        Returns
        -------
        features : torch.Tensor of shape (tokens, width of the model)
            On the model's device, text after text.
        sizes : list of int
            How many tokens of each text count.
        """
        network, size = self.network.eval(), PassSize(self.network)

        def in_passes() -> tuple[list[torch.Tensor], list[int]]:
            batches = [batch for _, batch in passes(x, y, size)]
            with self.autocast():
                return [features(network, batch) for batch in batches], [n for batch in batches for n in batch.sizes]

        parts, sizes = size.attempt(in_passes)
        return torch.cat(parts), sizes

    def all_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of tokens as `predict` returns them, transposed: (n, length) to (1, length, n)."""
        return self.predict(x).T.unsqueeze(0)

    def finite(self) -> torch.Tensor:
        """Whether all parameters are finite: bool of shape (1,)."""
        return finite(self.network)

    def autocast(self) -> torch.autocast:
        """Return the context manager that gives matrix products the precision of this model."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def loss_gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[list[torch.Tensor], int]:
        """Gradient of the summed negative log-probability of the tokens that count, and the number of these tokens.

        Parameters
        ----------
        x, y : torch.Tensor of shape (n, length) and (n, 1)

        Returns
        -------
        gradient : list of torch.Tensor
            One tensor per parameter.
        tokens : int
            Number of tokens that count.
        """
        # Training mode, because activation checkpointing works only there. Dropout is switched off in both modes.
        network, loss = self.network.train(), TextLoss(self.network)
        parameters = list(network.parameters())
        size = PassSize(network, coming=2 * 4 * parameter_count(network))

        def sum_of_passes() -> tuple[list[torch.Tensor], int]:
            total, tokens = [torch.zeros_like(parameter) for parameter in parameters], 0
            for _, batch in passes(x, y, size):
                tokens += sum(batch.sizes)
                with self.autocast():
                    summed = loss(batch, size.chunk_texts(batch.tokens.shape[1]))
                for total_part, part in zip(total, torch.autograd.grad(summed, parameters), strict=True):
                    total_part += part
            return total, tokens

        with recomputation(network, size.recompute):
            gradient = size.attempt(sum_of_passes)
        network.eval()
        return gradient

    def grad(
        self, x_data: torch.Tensor | Dataset[Any], y_data: torch.Tensor | Dataset[Any], *args: Any, **kwargs: Any
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield the gradient of each text's mean loss with respect to all parameters, one tensor per parameter."""
        x, y = as_tensor(x_data), as_tensor(y_data)
        for i in range(len(x)):
            gradient, tokens = self.loss_gradient(x[i : i + 1], y[i : i + 1])
            yield tuple(part / max(1, tokens) for part in gradient)


def silence_dropout(network: nn.Module) -> None:
    """Switch dropout off: both in dropout layers and in the attributes that models of transformers use instead."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
