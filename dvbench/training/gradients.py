"""Inner products of gradients of players with the gradient of the validation set, for models of every kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from opendataval.model import GradientModel
from opendataval.model.api import TorchModel, TorchRegressMixin
from torch.utils.data import Dataset

from dvbench.problems.subsets import Subsets
from dvbench.training.language_model import LanguageModel
from dvbench.training.tensors import as_tensor

Data = torch.Tensor | Dataset[torch.Tensor]


def inner_product(left: Iterable[torch.Tensor], right: Iterable[torch.Tensor]) -> float:
    """Inner product of two gradients, with one tensor for each parameter."""
    return sum(float((a * b).sum()) for a, b in zip(left, right, strict=True))


def point_gradients(model: GradientModel, x: Data, y: Data) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield the gradient of each point's loss, in evaluation mode.

    The loss is the one that the model is trained with. OpenDataVal's gradients are those of cross-entropy also for
    regression, where they fail, and are computed in the mode in which training leaves a network: there dropout makes
    them random, and batch normalisation of a single point fails.

    Parameters
    ----------
    model : GradientModel
    x, y : torch.Tensor or Dataset of length n

    Yields
    ------
    tuple of torch.Tensor
        One tensor per parameter. There is one tuple per point.
    """
    if isinstance(model, TorchModel):
        model.eval()
    if not isinstance(model, TorchRegressMixin):
        yield from model.grad(x, y)
        return
    x, y = as_tensor(x).to(model.device), as_tensor(y).to(model.device)
    for i in range(len(x)):
        loss = F.mse_loss(model(x[i : i + 1]), y[i : i + 1])
        yield torch.autograd.grad(loss, list(model.parameters()))


def gradient_products(
    model: GradientModel, x: Data, y: Data, x_validation: torch.Tensor, y_validation: torch.Tensor
) -> np.ndarray:
    """Inner product of every player's gradient with that of the mean loss on the validation set.

    Gradients of points are divided by the number n of training points. For texts the loss is the negative
    log-probability summed over tokens, and both the validation set's mean and n count tokens.

    Parameters
    ----------
    model : GradientModel
    x, y : torch.Tensor or Dataset
        Features and targets of the players, which are points or subsets.
    x_validation, y_validation : torch.Tensor

    Returns
    -------
    numpy.ndarray of shape (players,)
    """
    if isinstance(model, LanguageModel):
        return _gradient_products_of_texts(model, x, y, x_validation, y_validation)
    gradients_validation = point_gradients(model, x_validation, y_validation)
    mean = [sum(parts) / len(x_validation) for parts in zip(*gradients_validation, strict=True)]
    products = np.array(
        [inner_product(mean, gradient) for gradient in point_gradients(model, as_tensor(x), as_tensor(y))]
    )
    products /= len(products)
    if not isinstance(x, Subsets):
        return products
    ends = np.cumsum([len(members) for members in x.members])  # points come subset by subset
    return np.array([part.sum() for part in np.split(products, ends[:-1])])


def _gradient_products_of_texts(
    model: LanguageModel, x: Any, y: Any, x_validation: torch.Tensor, y_validation: torch.Tensor
) -> np.ndarray:
    validation, tokens_validation = model.loss_gradient(x_validation, y_validation)
    products, tokens = [], []
    for player in range(len(x)):  # one gradient at a time: each is as large as the model
        texts, starts = (part if part.ndim > 1 else part.unsqueeze(0) for part in (x[player], y[player]))
        gradient, count = model.loss_gradient(texts, starts)
        products.append(inner_product(validation, gradient))
        tokens.append(count)
    return np.array(products) / (tokens_validation * sum(tokens))
