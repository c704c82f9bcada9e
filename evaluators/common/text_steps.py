"""First-order Shapley values of the steps of a language model's training, from gradients that it computes anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from dvbench.training.language_model import LanguageModel
from dvbench.training.text_batches import text_batch
from evaluators.common.layer_gradients import LayerGradients, layers_with_parameters, matrix_products

Texts = tuple[torch.Tensor, torch.Tensor]


def values_of_steps(
    model: LanguageModel, train: Texts, validation: Texts, batches: Iterator[torch.Tensor], lr: float, **training: Any
) -> torch.Tensor:
    """Train a model, and sum the values of its steps.

    In a step, a text's value is the inner product of its summand in the gradient of the minibatch's mean loss, and
    ``lr`` times the gradient of the mean loss on some validation texts. Losses are means over tokens. That product is
    one more forward pass of every layer, computed while the gradients pass by.

    Parameters
    ----------
    model : LanguageModel
        It is trained.
    train, validation : tuple of torch.Tensor
        Texts (n, length), and where the loss of each begins, (n, 1).
    batches : iterator of torch.Tensor
        Numbers of the validation texts of each step.
    lr : float
    **training
        For the model's ``fit``.

    Returns
    -------
    torch.Tensor of shape (n,), float64

    Raises
    ------
    UserError
        If a layer is not known to be linear in its parameters.
    """
    (x, y), (x_valid, y_valid), network = train, validation, model.network
    values = torch.zeros(len(x), dtype=torch.float64)
    layers = layers_with_parameters(network, "choose another evaluator")
    with LayerGradients(network, layers, texts=True) as gradients:

        @contextmanager
        def around(rows: torch.Tensor) -> Iterator[None]:
            chosen = next(batches)
            towards, tokens = model.loss_gradient(x_valid[chosen], y_valid[chosen])
            network.train()
            factor = lr / max(1, tokens)
            direction = {id(p): part.mul_(factor) for p, part in zip(network.parameters(), towards, strict=True)}
            sizes = text_batch(x[rows], y[rows]).sizes
            of_step = torch.zeros(len(rows), dtype=torch.float64)

            def add(layer: Any, inputs: tuple[Any, ...], gradient: torch.Tensor, numbers: torch.Tensor) -> None:
                products = matrix_products(layer, inputs, gradient, direction).double().cpu()
                # The gradient that the output layer gets is that of the summed loss.
                of_step.index_add_(0, numbers, products / sum(sizes) if layer is gradients.head else products)

            with gradients.handed_to(add, sizes):
                yield
            values[rows] += of_step

        model.fit(x, y, lr=lr, around_step=around, **training)
    return values
