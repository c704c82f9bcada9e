"""Builds GPT-2 networks of any size."""

from __future__ import annotations

from torch import nn

from dvbench.training.recompute import recompute_activations

POSITIONS = 1024


def gpt2_network(
    shape: tuple[int, ...], outputs: int, layers: int, width: int, heads: int, recompute: bool = False
) -> nn.Module:
    """Build an untrained GPT-2.

    It has no dropout, unlike the published models, so that training is deterministic and can be resumed.

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
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=outputs,
        n_positions=max(POSITIONS, *shape),
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        activation_function="gelu_pytorch_tanh",  # the published activation, in one kernel
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=outputs - 1,
        eos_token_id=outputs - 1,
        use_cache=False,
    )
    network = GPT2LMHeadModel(config)
    if recompute:
        recompute_activations(network)
    return network
