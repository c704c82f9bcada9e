"""GPT2-XL from scratch, the Unlearning Shapley paper's language model."""

from __future__ import annotations

from torch import nn

from dvbench.training.gpt2_network import gpt2_network


def gpt2_xl(shape: tuple[int, ...], outputs: int, recompute: bool = True) -> nn.Module:
    """GPT2-XL, untrained: 1.5 billion parameters in 48 layers of width 1,600.

    Training takes about 28 GB with the texts of one pass, a run that trains and unlearns 43 GB (docs/performance.md).

    Parameters
    ----------
    shape : tuple of int
        Length of a text in tokens.
    outputs : int
        Size of the vocabulary.
    recompute : bool
        Keep no activations within a block but compute them again for the gradient.

    Returns
    -------
    torch.nn.Module
        See `dvbench.training.gpt2_network.gpt2_network`.

    References
    ----------
    A. Radford, J. Wu, R. Child, D. Luan, D. Amodei, I. Sutskever. Language models are unsupervised multitask learners.
    OpenAI, 2019.
    """
    return gpt2_network(shape, outputs, layers=48, width=1600, heads=25, recompute=recompute)
