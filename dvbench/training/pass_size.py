"""How many texts go through a language model at a time, chosen from the memory that is free.

A minibatch is split into passes, and the tokens of a pass into chunks: the network's activations exist for one pass,
its logits for one chunk. Results depend on neither, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from dvbench.training.memory import LOGITS_TRAINING, logits_bytes, memory_of, pass_bytes
from dvbench.training.recompute import recomputes_activations

T = TypeVar("T")

# Part of the free memory that is used: the rest is for the workspace of matrix products and for other programs.
MARGIN = 0.8
LOGITS_SHARE = 8  # one part of so many is for logits, the others are for activations
# On a CPU, memory that was just freed is faster than new memory, and a chunk should fit into the cache.
CPU_PASS_BYTES, CPU_CHUNK_BYTES = 2**28, 2**23
ENOUGH_TOKENS = 2**15  # in one pass; more would not make a GPU faster
# Activations are recomputed, for a third more operations, if fewer tokens would fit in a pass otherwise. Products of
# fewer rows, and more passes, each of which reads all weights, would cost about as much.
FEW_TOKENS = 2**11


class PassSize:
    """The size of passes on one device, which becomes smaller when memory runs out.

    Parameters
    ----------
    network : torch.nn.Module
    logits : int
        Number of tensors with one float per token of a chunk and word of the vocabulary.
    coming : int
        Bytes that will be used beside passes and are not in use yet, such as gradients and moments.

    Attributes
    ----------
    tokens, chunk_tokens : int
        Tokens, with padding, that a pass and a chunk may have. Both have at least one text.
    recompute : bool
        Whether activations are computed again for the gradient because there is not enough memory to store them.
    """

    def __init__(self, network: nn.Module, *, logits: int = LOGITS_TRAINING, coming: int = 0) -> None:
        device = next(network.parameters()).device
        room = max(0, int(MARGIN * memory_of(str(device))) - coming)
        for_passes = room - room // LOGITS_SHARE
        already = recomputes_activations(network)
        self.recompute = already or for_passes // pass_bytes(network, 1, recompute=False) < FEW_TOKENS
        for_chunks = room // LOGITS_SHARE
        if device.type == "cpu":
            for_passes, for_chunks = min(for_passes, CPU_PASS_BYTES), min(for_chunks, CPU_CHUNK_BYTES)
        self.tokens = min(ENOUGH_TOKENS, for_passes // pass_bytes(network, 1, recompute=self.recompute))
        self.chunk_tokens = for_chunks // logits_bytes(network, 1, logits)
        self._largest = 0, 0

    def texts(self, n: int, width: int) -> int:
        """How many of ``n`` texts of ``width`` tokens go into a pass."""
        texts = max(1, min(n, self.tokens // width))
        self._largest = max(self._largest, (texts, width))
        return texts

    def chunk_texts(self, width: int) -> int:
        """How many texts of ``width`` tokens have logits at a time."""
        return max(1, self.chunk_tokens // width)

    def attempt(self, compute: Callable[[], T], reset: Callable[[], object] = lambda: None) -> T:
        """Call ``compute``, and again with passes of half the size while memory runs out.

        Parameters
        ----------
        compute : callable
            Computes something in passes of this size. It is called again from the start.
        reset : callable
            Undoes what ``compute`` did before memory ran out.

        Raises
        ------
        torch.OutOfMemoryError
            If there is no memory for passes of a single text.
        """
        while True:
            self._largest = 0, 0
            try:
                return compute()
            except torch.OutOfMemoryError:
                texts, width = self._largest
                if texts <= 1:
                    raise
            # The exception, which refers to the tensors of its pass, does not exist any more.
            self.tokens = texts // 2 * width
            self.chunk_tokens = min(self.chunk_tokens, self.tokens)
            reset()
            torch.cuda.empty_cache()
