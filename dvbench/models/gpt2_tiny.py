"""GPT-2 in a size that a processor trains within a minute."""

from __future__ import annotations

from torch import nn

from dvbench.training.gpt2_network import gpt2_network


def gpt2_tiny(shape: tuple[int, ...], outputs: int, layers: int = 2, width: int = 64, heads: int = 2) -> nn.Module:
    """GPT-2 with two layers of width 64: for tests, and for texts of a small vocabulary.

    Parameters
    ----------
    shape : tuple of int
        Length of a text in tokens.
    outputs : int
        Size of the vocabulary.
    layers, width, heads : int
        Of the transformer.

    Returns
    -------
    torch.nn.Module
        See `dvbench.training.gpt2_network.gpt2_network`.
    """
    return gpt2_network(shape, outputs, layers, width, heads)
