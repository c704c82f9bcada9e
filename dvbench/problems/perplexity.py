"""What a language model says of texts, and how well it does: log-probabilities of tokens, and perplexity.

A text is a row of token numbers, padded at its end; what a model says of it is a row of as many numbers. The first
token of every text marks its beginning and is not predicted.
"""

from __future__ import annotations

import math

import torch

PADDING = 65535  # in place of a token, in rows of uint16; in other rows, which may hold that number, it is -1
NOT_PREDICTED = 1.0  # in place of a log-probability, which is never above 0


def mean_log_loss(y: torch.Tensor, outputs: torch.Tensor) -> float:
    """Mean negative log-probability of the tokens that count, in nats.

    Parameters
    ----------
    y : torch.Tensor of shape (n, 1)
        Position in each text from which on its tokens count.
    outputs : torch.Tensor of shape (n, length)
        Log-probability of each token given those before it; `NOT_PREDICTED` where there is no token or none is predicted.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If no token counts.
    """
    outputs = outputs.detach().double().cpu()
    counts = (outputs <= 0) & (torch.arange(outputs.shape[1]) >= y.detach().cpu())
    if not bool(counts.any()):
        raise ValueError("no token of these texts counts: they are shorter than where their loss begins")
    return -outputs[counts].mean().item()


def negative_perplexity(y: torch.Tensor, outputs: torch.Tensor) -> float:
    """Negative perplexity over the tokens that count: OpenDataVal's kind of metric, higher is better.

    Parameters are those of `mean_log_loss`.

    Returns
    -------
    float
        From minus infinity to -1.
    """
    return -perplexity(mean_log_loss(y, outputs))


def perplexity(log_loss: float) -> float:
    """Perplexity of a mean log loss; infinite where it is too large for a number."""
    try:
        return math.exp(log_loss)
    except OverflowError:
        return math.inf


def are_tokens(x: torch.Tensor) -> torch.Tensor:
    """Which numbers in rows of tokens are tokens, and not padding: bool of the same shape."""
    return x != PADDING if x.dtype == torch.uint16 else x >= 0
