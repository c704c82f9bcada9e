"""How much memory a causal language model takes to train or to unlearn, before it is built.

Everything is counted from the shapes of a network, which may be on torch's ``meta`` device, where it takes none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dvbench.errors import UserError
from dvbench.training.recompute import recomputes_activations

# In floats a token, of what one block keeps for its gradient, in widths of the model: its two normalisations (input and
# output each), queries, keys and values, attention's output, and twice the inner layer, of four widths.
KEPT_IN_A_BLOCK = 2 + 2 + 3 + 1 + 2 * 4
# As many numbers a token as the vocabulary has, when training: log-probabilities, for which logits are given up, and
# the gradient of each. When unlearning, in the rule that takes most: logits, targets, the full model's logits, and five
# of which the slope of a divergence is made.
LOGITS_TRAINING, LOGITS_UNLEARNING = 3, 8
# Weights, gradients and AdamW's two moments, all float32.
TRAINING = 4
# The allocator's blocks, matrix products' workspace and what lives for a moment only.
SLACK = 1.1
CONTAINER = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Footprint:
    """Bytes of memory, and what they are for.

    Parameters
    ----------
    weights : int
        Weights, gradients, the optimiser's moments, and the full model to compare with where one unlearns.
    activations : int
        Of one pass.
    """

    weights: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return round((self.weights + self.activations) * SLACK)


def parameter_count(network: nn.Module) -> int:
    """Parameters of a network; those that are shared count once."""
    return sum(parameter.numel() for parameter in {id(p): p for p in network.parameters()}.values())


def pass_bytes(network: nn.Module, width: int, logits: int = LOGITS_TRAINING) -> int:
    """What a pass with gradients keeps for one text of so many tokens.

    Parameters
    ----------
    network : torch.nn.Module
    width : int
    logits : int
        How many numbers a token are as many as the vocabulary.
    """
    config: Any = network.config
    d, layers = config.hidden_size, config.num_hidden_layers
    block = KEPT_IN_A_BLOCK * d
    blocks = layers * d + block if recomputes_activations(network) else layers * block
    return 4 * width * (blocks + logits * config.vocab_size)


def training_footprint(network: nn.Module, width: int, texts: int = 1) -> Footprint:
    """To train a network on so many texts of so many tokens at once."""
    return Footprint(4 * TRAINING * parameter_count(network), texts * pass_bytes(network, width))


def unlearning_footprint(network: nn.Module, width: int, texts: int = 1) -> Footprint:
    """To unlearn from a network that stays as it is, beside the copy that changes."""
    weights = 4 * (TRAINING + 1) * parameter_count(network)
    return Footprint(weights, texts * pass_bytes(network, width, LOGITS_UNLEARNING))


def run_footprint(network: nn.Module, width: int, texts: int = 1) -> Footprint:
    """To do both in one run, in which the untrained network stays too: others are trained from it."""
    unlearning = unlearning_footprint(network, width, texts)
    return Footprint(unlearning.weights + 4 * parameter_count(network), unlearning.activations)


def memory_of(device: str) -> int:
    """Bytes of a device's memory that are there to be used: what is free of a GPU, or all of this machine's."""
    if device.startswith("cuda"):
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for the next
        return torch.cuda.mem_get_info(device)[0] + kept
    all_of_it = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(all_of_it, int(CONTAINER.read_text()))
    except (OSError, ValueError):  # no container, or no limit
        return all_of_it


def require_room(
    name: str, network: nn.Module, shape: tuple[int, ...], outputs: int, device: str, memory: int | None = None
) -> None:
    """See to it that a model can be trained and unlearned on a device, text by text at least.

    Parameters
    ----------
    name : str
    network : torch.nn.Module
        Its shapes, on torch's ``meta`` device.
    shape : tuple of int
        Length of a text.
    outputs : int
        Size of the vocabulary.
    device : str
    memory : int, optional
        Bytes; by default `memory_of` the device.

    Raises
    ------
    UserError
        If it does not fit; the message says how much it needs, and which of GPT-2's sizes would fit.
    """
    there = memory_of(device) if memory is None else memory
    needed = run_footprint(network, *shape).total
    if needed <= there:
        return
    where = "the GPU" if device.startswith("cuda") else "this machine"
    smaller = next((f"; {size} fits" for size in _smaller(needed, shape, outputs, there)), "")
    gpu = "" if device.startswith("cuda") else "; run it on a GPU of that size"
    raise UserError(
        f"{name} needs {_gigabytes(needed)} to be trained and unlearned on texts of {shape[0]} tokens, and {where} has "
        f"{_gigabytes(there)}{gpu}{smaller}"
    )


def _smaller(needed: int, shape: tuple[int, ...], outputs: int, memory: int) -> Iterator[str]:
    """Sizes of GPT-2 that need less than that and fit, the largest first."""
    from dvbench.registry import find

    for name in ("gpt2_xl", "gpt2", "gpt2_tiny"):
        build = find("models", name).load()
        with torch.device("meta"):
            total = run_footprint(build(shape, outputs), *shape).total
        if total < needed and total <= memory:
            yield f"{name}, with {_gigabytes(total)},"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
