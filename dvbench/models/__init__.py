"""OpenDataVal models that train on tensors, and what is done with a trained one.

A model is a file with a function that builds a network from ``(shape, outputs, **params)``; `build_model` wraps it in a
`TensorModel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvbench.models.training import TensorModel
    from dvbench.settings import Kind, ModelSettings, Precision


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
) -> TensorModel:
    """Build a model for points of a shape.

    Parameters
    ----------
    settings : ModelSettings
        Its name and the parameters of its constructor.
    shape : tuple of int
        Shape of one point's features.
    outputs : int
        Number of classes, or 1.
    kind : {"classification", "regression"}
    seed : int
        Seed of the initial weights and of the order of minibatches.
    weight_decay : float
    precision : {"float32", "bfloat16"}
    device : str
        Where it lives.

    Returns
    -------
    TensorModel

    Raises
    ------
    UserError
        If there is no such model, or it has no such parameter, or it does not fit the data.
    """
    from torch.nn import Module

    from dvbench.errors import UserError
    from dvbench.models.training import TensorModel, seeded
    from dvbench.registry import find

    builder = find("models", settings.name).load()
    try:
        network = seeded(lambda: builder(shape, outputs, **settings.params), seed)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"model '{settings.name}': {error}; see 'dvbench describe {settings.name}'") from error
    if not isinstance(network, Module) or not list(network.parameters()):
        raise UserError(f"model '{settings.name}' must be a function that returns a torch network with parameters")
    return TensorModel(network, kind, outputs, seed, weight_decay, precision).to(device)
