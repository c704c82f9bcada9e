"""OpenDataVal models that train on tensors or on texts, and what is done with a trained one.

A model is a file with a function that builds a network from ``(shape, outputs, **params)``; `build_model` wraps it in a
`TensorModel`, or in a `LanguageModel` where the data are texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvbench.settings import Kind, ModelSettings, Precision
    from dvbench.training.language_model import LanguageModel
    from dvbench.training.tensor_model import TensorModel


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
    """Build a model for points of a shape.

    Parameters
    ----------
    settings : ModelSettings
        Its name and the parameters of its constructor.
    shape : tuple of int
        Shape of one point's features, or the length of a text.
    outputs : int
        Number of classes, or 1, or the size of the vocabulary.
    kind : {"classification", "regression", "language"}
    seed : int
        Seed of the initial weights and of the order of minibatches.
    weight_decay : float
    precision : {"float32", "bfloat16"}
    device : str
        Where it lives.

    Returns
    -------
    TensorModel or LanguageModel

    Raises
    ------
    UserError
        If there is no such model, or it has no such parameter, or it does not fit the data or the memory.
    """
    import torch

    from dvbench.errors import UserError
    from dvbench.registry import find
    from dvbench.training.memory import require_room
    from dvbench.training.tensor_model import TensorModel, seeded

    builder = find("models", settings.name).load()

    def build() -> torch.nn.Module:
        return builder(shape, outputs, **settings.params)

    try:
        if kind == "language":
            with torch.device("meta"):
                shapes = build()
            if hasattr(shapes, "get_output_embeddings"):
                require_room(settings.name, shapes, shape, outputs, device)
        network = seeded(build, seed)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"model '{settings.name}': {error}; see 'dvbench describe {settings.name}'") from error
    if not isinstance(network, torch.nn.Module) or not list(network.parameters()):
        raise UserError(f"model '{settings.name}' must be a function that returns a torch network with parameters")
    if hasattr(network, "get_output_embeddings") != (kind == "language"):
        reads, others = ("points", "texts") if kind == "language" else ("texts", "points")
        raise UserError(f"model '{settings.name}' reads {reads}, and the data are {others}; see 'dvbench list models'")
    if kind == "language":
        from dvbench.training.language_model import LanguageModel

        return LanguageModel(network, seed, weight_decay, precision).to(device)
    return TensorModel(network, kind, outputs, seed, weight_decay, precision).to(device)
