"""GPT2-XL, untrained: the language model of the Unlearning Shapley paper."""

from __future__ import annotations

from torch import nn

from dvbench.training.gpt2_network import gpt2_network


def gpt2_xl(shape: tuple[int, ...], outputs: int, recompute: bool = False) -> nn.Module:
    """GPT2-XL, untrained: 1.5 billion parameters in 48 blocks of width 1,600.

    Training takes at least 29 GB of memory; a run that trains and unlearns takes 43 GB (docs/performance.md).

    Parameters
    ----------
    shape : tuple of int
        Length of a text in tokens.
    outputs : int
        Size of the vocabulary.
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
    return gpt2_network(shape, outputs, layers=48, width=1600, heads=25, recompute=recompute)
