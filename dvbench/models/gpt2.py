"""GPT-2 from scratch."""

from __future__ import annotations

from torch import nn

POSITIONS = 1024


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
        network.activation_checkpointing_enable({"use_reentrant": False})
    return network
