"""Loss and perplexity of language models, from the log-probabilities of tokens.

A text is a row of token numbers, padded at its end. The output of a model for it is a row of the same length with the
log-probability of each token. The first token of every text is the begin-of-text token, which is not predicted.
"""

from __future__ import annotations

import math

import torch

PADDING = 65535  # replaces tokens in rows of uint16; in rows of other types, where 65535 may be a token, -1 does
NOT_PREDICTED = 1.0  # replaces log-probabilities, which are never above 0


def mean_log_loss(y: torch.Tensor, outputs: torch.Tensor) -> float:
    """Mean negative log-probability of the tokens that the loss includes, in nats.

    Parameters
    ----------
    y : torch.Tensor of shape (n, 1)
        Position of the first token of each text that the loss includes.
    outputs : torch.Tensor of shape (n, length)
        Log-probability of each token given those before it; `NOT_PREDICTED` for padding and begin-of-text tokens.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the loss includes no token.
    """
    outputs = outputs.detach().double().cpu()
    included = (outputs <= 0) & (torch.arange(outputs.shape[1]) >= y.detach().cpu())
    if not bool(included.any()):
        raise ValueError("the loss includes no token of these texts: they end before the position where it begins")
    return -outputs[included].mean().item()


def negative_perplexity(y: torch.Tensor, outputs: torch.Tensor) -> float:
    """Negative perplexity of the tokens that the loss includes, as a metric of OpenDataVal: higher is better.

    The parameters are those of `mean_log_loss`.

    Returns
    -------
    float
        From minus infinity to -1.
    """
    return -perplexity(mean_log_loss(y, outputs))


def perplexity(log_loss: float) -> float:
    """Perplexity of a mean log loss in nats; infinite if it is too large for a float."""
    try:
        return math.exp(log_loss)
    except OverflowError:
        return math.inf


def are_tokens(x: torch.Tensor) -> torch.Tensor:
    """Mask of the tokens in rows of tokens and padding: bool of the same shape as ``x``."""
    return x != PADDING if x.dtype == torch.uint16 else x >= 0
