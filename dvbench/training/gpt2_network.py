"""Builds GPT-2 networks of any size."""

from __future__ import annotations

from torch import nn

from dvbench.training.recompute import recompute_activations

POSITIONS = 1024


def gpt2_network(
    shape: tuple[int, ...], outputs: int, layers: int, width: int, heads: int, recompute: bool = False
) -> nn.Module:
    """Build an untrained GPT-2.

    Nothing is dropped out, unlike in the published models, so that training repeats and can be resumed.

    Parameters
    ----------
    shape : tuple of int
        Length of a text in tokens; there are at least 1,024 positions.
    outputs : int
        Size of the vocabulary; its last token stands at the beginning of every text.
    layers, width, heads : int
        Size of the transformer.
    recompute : bool
        Keep no activations within a block and compute them again for the gradient: a third more time for much less
        memory.

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
        activation_function="gelu_pytorch_tanh",  # the published function in one kernel
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
