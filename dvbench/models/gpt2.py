"""GPT-2, untrained."""

from __future__ import annotations

from torch import nn

from dvbench.training.gpt2_network import gpt2_network


def gpt2(
    shape: tuple[int, ...], outputs: int, layers: int = 12, width: int = 768, heads: int = 12, recompute: bool = False
) -> nn.Module:
    """GPT-2, untrained; the default is the smallest published size, of 124 million parameters.

    Unlike the published models it has no dropout, so that training is deterministic and can be resumed.

    Parameters
    ----------
    shape : tuple of int
        Length of a text in tokens. The network has at least 1,024 positions.
    outputs : int
        Size of the vocabulary. Its last token marks the beginning of every text.
    layers, width, heads : int
        Number of blocks, their width, and attention heads per block.
    recompute : bool
        Always compute the activations within a block again for the gradient instead of storing them, which takes a
        third longer and much less memory; by default only where the memory for them is short.

    Returns
    -------
    torch.nn.Module
        A transformers ``GPT2LMHeadModel``.

    References
    ----------
    A. Radford, J. Wu, R. Child, D. Luan, D. Amodei, I. Sutskever. Language models are unsupervised multitask learners.
    OpenAI, 2019.
    """
    return gpt2_network(shape, outputs, layers, width, heads, recompute)
