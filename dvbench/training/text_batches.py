"""Minibatches of texts, and the features, logits and loss of a causal language model on them.

Texts are rows of token numbers, see `dvbench.problems.perplexity`. A token counts in the loss if it is not the first of
its text and its position is not before the target of the text. Logits are computed for the tokens that count only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from dvbench.problems.perplexity import are_tokens
from dvbench.training.memory import LOGITS_TRAINING, pass_bytes

PASS_BYTES = {"cpu": 2**28, "cuda": 2**32}  # limit for the logits and activations of one pass


@dataclass(frozen=True)
class TextBatch:
    """A minibatch of texts, cropped to the longest of them.

    Parameters
    ----------
    tokens : torch.Tensor of int64, shape (n, width)
        Token numbers. Padding is 0; it follows all tokens that count, so it does not affect them.
    counts : torch.Tensor of bool, shape (n, width - 1)
        Whether the token at the next position counts in the loss.
    """

    tokens: torch.Tensor
    counts: torch.Tensor

    @property
    def targets(self) -> torch.Tensor:
        """The tokens that count, text after text: int64 of shape (tokens,)."""
        return self.tokens[:, 1:][self.counts]


def text_batch(x: torch.Tensor, y: torch.Tensor, device: torch.device | str = "cpu") -> TextBatch:
    """Make a minibatch.

    Parameters
    ----------
    x : torch.Tensor of shape (n, length)
        Rows of token numbers, on any device.
    y : torch.Tensor of shape (n, 1)
        Position of the first token of each text that counts.
    device : torch.device or str
        Device of the minibatch.
    """
    is_token = are_tokens(x)
    width = max(2, int(is_token.sum(dim=1).max())) if len(x) else 2
    is_token, tokens = is_token[:, :width], x[:, :width].long()
    counts = is_token & (torch.arange(width) >= y.to(is_token.device))
    return TextBatch(torch.where(is_token, tokens, 0).to(device), counts[:, 1:].to(device))


def lengths(x: torch.Tensor) -> torch.Tensor:
    """Number of tokens of each text: int64 of shape (n,)."""
    return are_tokens(x).sum(dim=1)


def output_layer(network: nn.Module) -> nn.Module:
    """The last layer of a language model, which maps features to logits."""
    layer: nn.Module = network.get_output_embeddings()  # type: ignore[operator]
    return layer


def features(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """Input of the output layer for every token that counts: (tokens, width of the model).

    It needs no attention mask: padding comes last, and a causal model does not use later tokens.
    """
    body = network.base_model
    hidden: torch.Tensor = body(  # type: ignore[operator]
        input_ids=batch.tokens[:, :-1], use_cache=False
    ).last_hidden_state
    return hidden[batch.counts]


def logits(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """Logits of the tokens that count: (tokens, vocabulary), in float32, or in float64 if the network computes so."""
    outputs: torch.Tensor = output_layer(network)(features(network, batch))
    return outputs if outputs.dtype == torch.float64 else outputs.float()


class TextLoss(nn.Module):
    """Summed negative log-probability of a minibatch; a module, so that accelerate can wrap it for several GPUs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Compute the sum over the tokens that count."""
        batch = TextBatch(tokens, counts)
        return F.cross_entropy(logits(self.network, batch), batch.targets, reduction="sum")


def texts_at_once(network: nn.Module, width: int, logits: int = LOGITS_TRAINING) -> int:
    """How many texts of ``width`` tokens one pass may have; see `dvbench.training.memory.pass_bytes` for ``logits``."""
    device = next(network.parameters()).device
    return max(1, PASS_BYTES.get(device.type, PASS_BYTES["cpu"]) // pass_bytes(network, width, logits))


def passes(
    network: nn.Module, x: torch.Tensor, y: torch.Tensor, logits: int = LOGITS_TRAINING
) -> Iterator[tuple[slice, TextBatch]]:
    """Split texts into minibatches for one pass each, on the network's device; yield their rows and the minibatch."""
    device = next(network.parameters()).device
    texts = texts_at_once(network, x.shape[1], logits)
    for start in range(0, len(x), texts):
        rows = slice(start, start + texts)
        yield rows, text_batch(x[rows], y[rows], device)
