"""Minibatches of texts, and what a causal language model makes of them.

Texts are rows of token numbers, see `dvbench.problems.perplexity`. A token counts if it is not the first of its text and stands
where the loss of its text has begun; logits are computed for those only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from dvbench.problems.perplexity import are_tokens
from dvbench.training.memory import LOGITS_TRAINING, pass_bytes

AT_ONCE = {"cpu": 2**28, "cuda": 2**32}  # bytes that logits and activations of one pass may take


@dataclass(frozen=True)
class TextBatch:
    """Some texts, cut to the longest of them.

    Parameters
    ----------
    tokens : torch.Tensor of int64, shape (n, width)
        0 in place of padding, which nothing looks at: it comes after all that counts.
    counts : torch.Tensor of bool, shape (n, width - 1)
        Whether the next token counts.
    """

    tokens: torch.Tensor
    counts: torch.Tensor

    @property
    def targets(self) -> torch.Tensor:
        """The tokens that count, text by text; int64 of shape (tokens,)."""
        return self.tokens[:, 1:][self.counts]


def text_batch(x: torch.Tensor, y: torch.Tensor, device: torch.device | str = "cpu") -> TextBatch:
    """Make a minibatch.

    Parameters
    ----------
    x : torch.Tensor of shape (n, length)
        Rows of tokens, in any memory.
    y : torch.Tensor of shape (n, 1)
        Positions from which on tokens count.
    device : torch.device or str
    """
    real = are_tokens(x)
    width = max(2, int(real.sum(dim=1).max())) if len(x) else 2
    real, tokens = real[:, :width], x[:, :width].long()
    counts = real & (torch.arange(width) >= y.to(real.device))
    return TextBatch(torch.where(real, tokens, 0).to(device), counts[:, 1:].to(device))


def lengths(x: torch.Tensor) -> torch.Tensor:
    """Tokens of each text, int64 of shape (n,)."""
    return are_tokens(x).sum(dim=1)


def output_layer(network: nn.Module) -> nn.Module:
    """The layer that makes logits of features."""
    return network.get_output_embeddings()  # type: ignore[operator]


def features(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """What enters the output layer where the next token counts, (tokens, width of the model).

    No attention mask is needed: padding comes last, and no token looks ahead.
    """
    body = network.base_model
    hidden = body(input_ids=batch.tokens[:, :-1], use_cache=False).last_hidden_state  # type: ignore[operator]
    return hidden[batch.counts]


def logits(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """Logits of the tokens that count, (tokens, vocabulary), float32 or wider."""
    found = output_layer(network)(features(network, batch))
    return found if found.dtype == torch.float64 else found.float()


class TextLoss(nn.Module):
    """Summed negative log-probability of a minibatch; a module, so that it can be wrapped to run on several GPUs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Sum over the tokens that count."""
        batch = TextBatch(tokens, counts)
        return F.cross_entropy(logits(self.network, batch), batch.targets, reduction="sum")


def texts_at_once(network: nn.Module, width: int, logits: int = LOGITS_TRAINING) -> int:
    """How many texts of so many tokens go through a network in one pass; see `dvbench.training.memory.pass_bytes`."""
    device = next(network.parameters()).device
    return max(1, AT_ONCE.get(device.type, AT_ONCE["cpu"]) // pass_bytes(network, width, logits))


def passes(
    network: nn.Module, x: torch.Tensor, y: torch.Tensor, logits: int = LOGITS_TRAINING
) -> Iterator[tuple[slice, TextBatch]]:
    """Cut texts into as many as go through a network in one pass, on its device."""
    device = next(network.parameters()).device
    most = texts_at_once(network, x.shape[1], logits)
    for start in range(0, len(x), most):
        part = slice(start, start + most)
        yield part, text_batch(x[part], y[part], device)
