"""Minibatches of texts, and what enters the output layer of a causal language model on them.

Texts are rows of token numbers, see `dvbench.problems.perplexity`. A token counts in the loss if it is not the first of
its text and its position is not before the target of the text. Logits are computed for the tokens that count only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from dvbench.problems.perplexity import are_tokens
from dvbench.training.output_chunks import chunked_loss, token_losses
from dvbench.training.pass_size import PassSize


@dataclass(frozen=True)
class TextBatch:
    """A minibatch of texts, cropped to the longest of them.

    Parameters
    ----------
    tokens : torch.Tensor of int64, shape (n, width)
        Token numbers, on the CPU. Padding is 0; it follows all tokens that count, so it does not affect them.
    counts : torch.Tensor of bool, shape (n, width - 1)
        Whether the token at the next position counts in the loss; on the CPU, so that a GPU need not be waited for.
    """

    tokens: torch.Tensor
    counts: torch.Tensor

    @cached_property
    def targets(self) -> torch.Tensor:
        """The tokens that count, text after text: int64 of shape (tokens,), on the CPU."""
        return self.tokens[:, 1:][self.counts]

    @cached_property
    def sizes(self) -> list[int]:
        """How many tokens of each text count."""
        sizes: list[int] = self.counts.sum(dim=1).tolist()
        return sizes

    def part(self, rows: slice) -> TextBatch:
        """Some of the texts."""
        return TextBatch(self.tokens[rows], self.counts[rows])

    def chunks(self, texts: int) -> list[slice]:
        """The tokens that count of so many texts at a time; texts without any are left out."""
        ends = [0, *np.cumsum(self.sizes).tolist()]
        bounds = [*ends[: len(ends) - 1 : texts], ends[-1]]
        return [slice(start, end) for start, end in pairwise(bounds) if start < end]


def text_batch(x: torch.Tensor, y: torch.Tensor) -> TextBatch:
    """Make a minibatch.

    Parameters
    ----------
    x : torch.Tensor of shape (n, length)
        Rows of token numbers, on any device.
    y : torch.Tensor of shape (n, 1)
        Position of the first token of each text that counts.
    """
    x, y = x.cpu(), y.cpu()
    is_token = are_tokens(x)
    width = _longest(is_token.sum(dim=1))
    is_token, tokens = is_token[:, :width], x[:, :width].long()
    counts = is_token & (torch.arange(width) >= y)
    return TextBatch(torch.where(is_token, tokens, 0), counts[:, 1:])


def lengths(x: torch.Tensor) -> torch.Tensor:
    """Number of tokens of each text: int64 of shape (n,)."""
    return are_tokens(x).sum(dim=1)


def _longest(sizes: torch.Tensor) -> int:
    """Tokens of the longest text, and at least 2: the first token is not predicted."""
    return max(2, int(sizes.max())) if len(sizes) else 2


def output_layer(network: nn.Module) -> nn.Module:
    """The last layer of a language model, which maps features to logits."""
    layer: nn.Module = network.get_output_embeddings()  # type: ignore[operator]
    return layer


def features(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """Input of the output layer for every token that counts: (tokens, width of the model).

    It needs no attention mask: padding comes last, and a causal model does not use later tokens.
    """
    body, device = network.base_model, next(network.parameters()).device
    tokens = batch.tokens[:, :-1].to(device, non_blocking=True)
    hidden: torch.Tensor = body(input_ids=tokens, use_cache=False).last_hidden_state  # type: ignore[operator]
    rows = batch.counts.flatten().nonzero()[:, 0].to(device, non_blocking=True)
    return hidden.flatten(0, 1).index_select(0, rows)


class TextLoss(nn.Module):
    """Summed negative log-probability of a minibatch; a module, so that accelerate can wrap it for several GPUs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: TextBatch, chunk_texts: int) -> torch.Tensor:
        """Compute the sum over the tokens that count, with the logits of so many texts at a time."""
        entering = features(self.network, batch)
        rule = token_losses(batch.targets.to(entering.device, non_blocking=True))
        return chunked_loss(output_layer(self.network), entering, batch.chunks(chunk_texts), rule)


def passes(x: torch.Tensor, y: torch.Tensor, size: PassSize) -> Iterator[tuple[slice, TextBatch]]:
    """Split texts into minibatches for one pass each; yield their rows and the minibatch."""
    texts = size.texts(len(x), _longest(lengths(x)))
    for start in range(0, len(x), texts):
        rows = slice(start, start + texts)
        yield rows, text_batch(x[rows], y[rows])
