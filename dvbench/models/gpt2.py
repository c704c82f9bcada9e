"""GPT-2 from scratch."""

from __future__ import annotations

from torch import nn

from dvbench.training.gpt2_network import gpt2_network


def gpt2(
    shape: tuple[int, ...], outputs: int, layers: int = 12, width: int = 768, heads: int = 12, recompute: bool = False
) -> nn.Module:
    """GPT-2, untrained; the default is the smallest published size, of 124 million parameters.

    It differs from the published models in that nothing is dropped out, so that training repeats and can be taken up
    where it was left.

    Parameters
    ----------
    shape : tuple of int
        Length of a text in tokens; there are at least 1,024 positions.
    outputs : int
        Size of the vocabulary; its last token stands at the beginning of every text.
    layers, width, heads : int
        Of the transformer.
    recompute : bool
        Keep no activations within a block but compute them again for the gradient: a third more time for much less
        memory.

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
