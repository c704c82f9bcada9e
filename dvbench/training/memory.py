"""Estimates the memory that training and unlearning a causal language model take, before the model is built.

Estimates use only the shapes of a network, which may be on torch's ``meta`` device, where it takes no memory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.training.recompute import recomputes_activations

# Floats per token that one block stores for its gradient, divided by the width of the model: input and output of its
# two normalisations, queries, keys and values, the output of attention, and twice the inner layer of four widths.
STORED_PER_BLOCK = 2 + 2 + 3 + 1 + 2 * 4
# Tensors of one float per token of a chunk and word of the vocabulary. Training has two: logits, and
# log-probabilities, which become the gradient. Unlearning has five in the methods that need most: logits, the logits of
# the full model, and three intermediate results of the gradient of a divergence.
LOGITS_TRAINING, LOGITS_UNLEARNING = 2, 5
# Floats per parameter in training: weight, gradient and two moments of AdamW.
FLOATS_PER_PARAMETER = 4
# Factor for blocks of the allocator, workspace of matrix products and temporary tensors.
SLACK = 1.1
CONTAINER = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class MemoryEstimate:
    """Estimated bytes of memory.

    Parameters
    ----------
    weights : int
        Bytes of weights, gradients, AdamW's moments and, for unlearning, the weights of the full model.
    activations : int
        Bytes of the activations of one pass, and of the logits of one text.
    """

    weights: int
    activations: int

    @property
    def total(self) -> int:
        """Bytes in total."""
        return round((self.weights + self.activations) * SLACK)


def parameter_count(network: nn.Module) -> int:
    """Number of parameters of a network. Shared parameters count once."""
    return sum(parameter.numel() for parameter in {id(p): p for p in network.parameters()}.values())


def pass_bytes(network: nn.Module, width: int, *, recompute: bool | None = None) -> int:
    """Bytes that a pass with gradients stores for one text, without its logits.

    Parameters
    ----------
    network : torch.nn.Module
    width : int
        Tokens per text.
    recompute : bool, optional
        Whether activations are computed again for the gradient; by default, whether the network has that switched on.
    """
    config: Any = network.config
    d: int = config.hidden_size
    layers: int = config.num_hidden_layers
    block = STORED_PER_BLOCK * d
    recompute = recomputes_activations(network) if recompute is None else recompute
    return 4 * width * (layers * d + block if recompute else layers * block)


def logits_bytes(network: nn.Module, width: int, logits: int = LOGITS_TRAINING) -> int:
    """Bytes of the logits of one text of ``width`` tokens and of what is computed from them.

    Parameters
    ----------
    network : torch.nn.Module
    width : int
    logits : int
        Number of tensors with one float per token and word of the vocabulary.
    """
    config: Any = network.config
    vocabulary: int = config.vocab_size
    return 4 * width * logits * vocabulary


def estimate_training(network: nn.Module, width: int, texts: int = 1, *, recompute: bool = True) -> MemoryEstimate:
    """Memory for training a network on ``texts`` texts of ``width`` tokens in one pass.

    By default it is the least: activations are recomputed where there is not enough memory to store them.
    """
    return _estimate(network, FLOATS_PER_PARAMETER, width, texts, LOGITS_TRAINING, recompute)


def estimate_unlearning(network: nn.Module, width: int, texts: int = 1, *, recompute: bool = True) -> MemoryEstimate:
    """Memory for unlearning: the copy that unlearns, and the full model beside it, which does not change."""
    return _estimate(network, FLOATS_PER_PARAMETER + 1, width, texts, LOGITS_UNLEARNING, recompute)


def _estimate(network: nn.Module, floats: int, width: int, texts: int, logits: int, recompute: bool) -> MemoryEstimate:
    layer: Any = network.get_output_embeddings()  # type: ignore[operator]
    # Its gradient is computed beside that of the rest, and once more for every chunk.
    gradients = 2 * 4 * parameter_count(layer)
    in_passes = (
        texts * pass_bytes(network, width, recompute=recompute) + logits_bytes(network, width, logits) + gradients
    )
    return MemoryEstimate(4 * floats * parameter_count(network), in_passes)


def estimate_run(network: nn.Module, width: int, texts: int = 1) -> MemoryEstimate:
    """Memory for a run that trains and unlearns. It also keeps the untrained weights, from which others are trained."""
    unlearning = estimate_unlearning(network, width, texts)
    return MemoryEstimate(unlearning.weights + 4 * parameter_count(network), unlearning.activations)


def memory_of(device: str) -> int:
    """Bytes of memory that can be used: the free memory of a GPU, or the whole memory of this machine or container."""
    if device.startswith("cuda"):
        # torch keeps memory that its tensors no longer use, and gives it to new tensors.
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reusable
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(CONTAINER.read_text()))
    except (OSError, ValueError):  # no container, or no limit
        return physical


def require_room(
    name: str, network: nn.Module, shape: tuple[int, ...], outputs: int, device: str, memory: int | None = None
) -> None:
    """Check that a model can be trained and unlearned on a device, with at least one text in a pass.

    Parameters
    ----------
    name : str
        Name of the model, for the message.
    network : torch.nn.Module
        A network of the model's shapes, which may be on torch's ``meta`` device.
    shape : tuple of int
        Length of a text in tokens.
    outputs : int
        Size of the vocabulary.
    device : str
    memory : int, optional
        Bytes of memory that can be used; by default `memory_of` the device.

    Raises
    ------
    UserError
        If the memory is too small. The message says how much is needed, and which registered model fits.
    """
    available = memory_of(device) if memory is None else memory
    needed = estimate_run(network, *shape).total
    if needed <= available:
        return
    on_gpu = device.startswith("cuda")
    where = "the GPU" if on_gpu else "this machine"
    smaller = _largest_that_fits(min(needed - 1, available), shape, outputs)
    gpu = "" if on_gpu else "; run it on a GPU with enough memory"
    raise UserError(
        f"{name} needs {_gigabytes(needed)} of memory for training and unlearning on texts of {shape[0]} tokens, and "
        f"{where} has {_gigabytes(available)}{gpu}{smaller}"
    )


def _largest_that_fits(memory: int, shape: tuple[int, ...], outputs: int) -> str:
    """Advice to use the largest registered language model that fits; empty if none does."""
    from dvbench.registry import entries

    totals = {}
    for name, entry in entries("models").items():
        with suppress(Exception):  # models of points and third-party models can raise anything
            build = entry.load()
            with torch.device("meta"):
                network = build(shape, outputs)
            if hasattr(network, "get_output_embeddings"):
                totals[name] = estimate_run(network, *shape).total
    fitting = {name: total for name, total in totals.items() if total <= memory}
    if not fitting:
        return ""
    name = max(fitting, key=fitting.__getitem__)
    return f"; {name} fits, with {_gigabytes(fitting[name])}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
