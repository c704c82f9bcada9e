"""Uses models of every kind in one way: dvbench's models of points and of texts, and OpenDataVal's own models."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from opendataval.model import GradientModel
from opendataval.model.api import TorchModel
from torch import nn
from torch.utils.data import Dataset

from dvbench.errors import UserError
from dvbench.settings import Kind
from dvbench.training.batch_normalisation import lone_points_normalised
from dvbench.training.contract import TrainableModel
from dvbench.training.heads import all_features_and_logits, logits_network
from dvbench.training.language_model import LanguageModel
from dvbench.training.tensor_model import TensorModel, seeded

Data = torch.Tensor | Dataset[torch.Tensor]


def model_outputs(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Outputs of one model: logits, predicted targets of regression, or log-probabilities of tokens.

    Parameters
    ----------
    model : torch.nn.Module
        Its last layer is linear, up to a softmax or a sigmoid; or a language model.
    x : torch.Tensor of shape (n, ...)

    Returns
    -------
    torch.Tensor of shape (1, outputs, n)
    """
    if isinstance(model, LanguageModel):
        return model.all_outputs(x)
    return all_features_and_logits(model, x)[1].T.unsqueeze(0)


def fit_to_points(model: Any, x: Any, y: Any, *args: Any, **training: Any) -> Any:
    """Fit a model of any kind to points, of which there may be none.

    OpenDataVal's networks fail on an empty data set; they stay untrained. dvbench's models accept it and do the same.
    OpenDataVal's wrappers of scikit-learn's models have no untrained state and accept it too: they predict the first
    class, or 0.

    Parameters
    ----------
    model : Model
    x, y : torch.Tensor or Dataset of length n
    *args, **training
        For the model's ``fit``.

    Returns
    -------
    Model
        The model that was given.
    """
    trains_itself = isinstance(model, TensorModel | LanguageModel)
    if len(x) == 0 and isinstance(model, TorchModel) and not trains_itself:
        return model
    with nullcontext() if trains_itself else lone_points_normalised(model):
        model.fit(x, y, *args, **training)
    return model


def fit_observed(
    model: GradientModel,
    x: Data,
    y: Data,
    observe: Callable[[], Any] | None,
    *args: Any,
    epochs: int,
    depends_on: Sequence[torch.Tensor] = (),
    **training: Any,
) -> list[Any]:
    """Train a model and observe it after every epoch except the last.

    OpenDataVal's own models cannot be observed while they train: they are fitted one epoch at a time, which restarts
    their optimiser at every epoch.

    Parameters
    ----------
    model : GradientModel
    x, y : torch.Tensor or Dataset of length n
    observe : callable, optional
        What it returns is collected. For language models that must be something that JSON holds, because it is saved
        in checkpoints.
    *args, **training
        For the model's ``fit``: ``batch_size``, ``lr``.
    epochs : int
    depends_on : sequence of torch.Tensor
        What ``observe`` uses besides the model and its training data. A checkpoint of a language model is continued
        only if these are equal.

    Returns
    -------
    list
        One observation for every epoch except the last; empty without ``observe``.
    """
    if isinstance(model, LanguageModel):
        model.fit(x, y, *args, epochs=epochs, on_epoch=observe, callback_data=depends_on, **training)
        return model.epoch_results[1:] if observe is not None else []  # the first one was made before training
    started, observations = itertools.count(), list[Any]()

    def on_epoch() -> None:
        if next(started) and observe is not None:
            observations.append(observe())

    if isinstance(model, TensorModel):
        model.fit(x, y, *args, epochs=epochs, on_epoch=on_epoch, **training)
        return observations
    for _ in range(int(epochs)):
        on_epoch()
        fit_to_points(model, x, y, *args, epochs=1, **training)
    return observations


def full_and_untrained(
    model: nn.Module, untrained: nn.Module | None, example: torch.Tensor, seed: int
) -> tuple[nn.Module, TrainableModel]:
    """A trained model, and the same model before training in a form that can be trained.

    Parameters
    ----------
    model : torch.nn.Module
        Trained. It is not changed.
    untrained : torch.nn.Module, optional
        The model before training. By default a copy of the model whose layers are initialised again; for a language
        model it is required.
    example : torch.Tensor of shape (1, ...)
        A point, from which the number of outputs is found.
    seed : int
        Seed of the initial weights and of the order of minibatches.

    Raises
    ------
    UserError
        If the untrained model is missing and cannot be made.
    """
    if isinstance(model, LanguageModel):
        if not isinstance(untrained, LanguageModel):
            raise UserError("the value of texts needs the language model before training: pass it as untrained")
        return model, untrained
    network = logits_network(model, example).eval()
    outputs = all_features_and_logits(network, example)[1].shape[1]
    kind: Kind = "classification" if outputs > 1 else "regression"
    initial = logits_network(untrained, example) if untrained is not None else _reinitialised(network, seed)
    return network, TensorModel(initial.to(next(network.parameters()).device), kind, outputs, seed)


def _reinitialised(network: nn.Module, seed: int) -> nn.Module:
    """Copy of a network whose layers are initialised again."""

    def build() -> nn.Module:
        initial = copy.deepcopy(network)
        for module in initial.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                raise UserError(f"{type(module).__name__} cannot be initialised again: pass the model before training")
        return initial

    return seeded(build, seed)
