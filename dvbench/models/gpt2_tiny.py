"""A small GPT-2, which a CPU trains within a minute."""

from __future__ import annotations

from torch import nn

from dvbench.training.gpt2_network import gpt2_network


def gpt2_tiny(shape: tuple[int, ...], outputs: int, layers: int = 2, width: int = 64, heads: int = 2) -> nn.Module:
    """GPT-2 with two blocks of width 64, for tests and for texts with a small vocabulary.

    Parameters
    ----------
    shape : tuple of int
        Length of a text in tokens.
    outputs : int
        Size of the vocabulary.
    layers, width, heads : int
        Number of blocks, their width, and attention heads per block.

    Returns
    -------
    torch.nn.Module
        A transformers ``GPT2LMHeadModel``.
    """
    return gpt2_network(shape, outputs, layers, width, heads)
