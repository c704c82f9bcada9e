"""Builds models by name: a network from a model plug-in, wrapped in the class that trains it.

A model plug-in is a function ``(shape, outputs, **params)`` that returns an untrained network. `build_model` wraps the
network in a `TensorModel`, or in a `LanguageModel` if the data are texts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from dvbench.errors import UserError, one_line

if TYPE_CHECKING:
    from torch import nn

    from dvbench.settings import Kind, ModelSettings, Precision
    from dvbench.training.language_model import LanguageModel
    from dvbench.training.tensor_model import TensorModel


# Language models of at least so many parameters are made on their device: a core of a CPU takes half a minute for those
# of GPT2-XL. Smaller ones are made on the CPU, so that a seed gives the same initial weights for a GPU.
MADE_ON_DEVICE = 10**8


def build_model(
    settings: ModelSettings,
    shape: tuple[int, ...],
    outputs: int,
    kind: Kind,
    *,
    seed: int,
    weight_decay: float = 0.01,
    precision: Precision = "float32",
    device: str = "cpu",
) -> TensorModel | LanguageModel:
    """Build a model for data of a shape.

    Parameters
    ----------
    settings : ModelSettings
        Name and parameters of the model.
    shape : tuple of int
        Shape of one point's features, or the length of a text in tokens.
    outputs : int
        Number of classes, or 1 for regression, or the size of the vocabulary.
    kind : {"classification", "regression", "language"}
    seed : int
        Seed of the initial weights and of the order of minibatches.
    weight_decay : float
        Weight decay of AdamW.
    precision : {"float32", "tf32", "bfloat16"}
        Precision of matrix products in training.
    device : str
        Device for the model.

    Returns
    -------
    TensorModel or LanguageModel

    Raises
    ------
    UserError
        If there is no such model, it has no such parameter, its network does not fit the data, or the memory is too
        small.
    """
    from dvbench.training.memory import parameter_count, require_room
    from dvbench.training.tensor_model import TensorModel, seeded

    build = _network_builder(settings, shape, outputs, kind)
    if kind == "language":
        from dvbench.training.language_model import LanguageModel

        shapes = _on_meta_device(build)
        require_room(settings.name, shapes, shape, outputs, device)
        made_on = device if parameter_count(shapes) >= MADE_ON_DEVICE else "cpu"
        network = seeded(build, seed, made_on)
        language_model: LanguageModel = LanguageModel(network, seed, weight_decay, precision).to(device)
        return language_model
    network = seeded(build, seed)
    check_outputs(settings.name, network, shape, outputs)
    model: TensorModel = TensorModel(network, kind, outputs, seed, weight_decay, precision).to(device)
    return model


def check_model(settings: ModelSettings, shape: tuple[int, ...], outputs: int, kind: Kind) -> None:
    """Check that `build_model` can build a model for data of a shape, apart from the memory that it needs.

    Parameters are those of `build_model`. The network of a language model is built on torch's ``meta`` device, where it
    takes no memory.

    Raises
    ------
    UserError
        If there is no such model, it has no such parameter, or its network does not fit the data.
    """
    from dvbench.training.tensor_model import seeded

    build = _network_builder(settings, shape, outputs, kind)
    if kind == "language":
        _on_meta_device(build)
    else:
        check_outputs(settings.name, seeded(build, 0), shape, outputs)


def _network_builder(
    settings: ModelSettings, shape: tuple[int, ...], outputs: int, kind: Kind
) -> Callable[[], nn.Module]:
    """Return the function that builds the network of a model and raises a `UserError` of one line if it cannot."""
    import torch

    from dvbench.registry import find

    name = settings.name
    builder = find("models", name).load()

    def build() -> nn.Module:
        try:
            network = builder(shape, outputs, **settings.params)
        except UserError:
            raise
        except Exception as error:  # a third-party model can raise anything
            raise UserError(f"model '{name}': {one_line(error)}; see 'dvbench describe {name}'") from error
        if not isinstance(network, torch.nn.Module) or not list(network.parameters()):
            raise UserError(f"model '{name}' must be a function that returns a torch network with parameters")
        if hasattr(network, "get_output_embeddings") != (kind == "language"):
            inputs, data = ("points", "texts") if kind == "language" else ("texts", "points")
            raise UserError(f"model '{name}' needs {inputs}, but the data are {data}; see 'dvbench list models'")
        return network

    return build


def _on_meta_device(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the device where tensors have shapes and no memory."""
    import torch

    with torch.device("meta"):
        return build()


def check_outputs(name: str, network: nn.Module, shape: tuple[int, ...], outputs: int) -> None:
    """Raise a `UserError` unless a network maps two points to logits of shape (2, outputs).

    A copy of the network is run, and torch's random generator is restored, so that training does not change.
    """
    import torch

    expected = f"it must map points of shape (n, {', '.join(map(str, shape))}) to logits of shape (n, {outputs})"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = copy.deepcopy(network).eval()(torch.zeros(2, *shape))
    except Exception as error:  # a third-party network can raise anything
        raise UserError(f"model '{name}': its network fails on two points: {one_line(error)}; {expected}") from error
    if not isinstance(logits, torch.Tensor):
        raise UserError(f"model '{name}': its network returns a {type(logits).__name__}; {expected}")
    if logits.shape != (2, outputs):
        raise UserError(f"model '{name}': its network maps two points to shape {tuple(logits.shape)}; {expected}")
