"""Perf, the performance that unlearning takes away, in either of its forms."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from dvbench.problems.perplexity import mean_log_loss, negative_perplexity
from dvbench.training.losses import model_losses
from dvbench.training.utilities import Metric, model_utilities, require_finite

Utility = Literal["metric", "log_loss"]


def checked_utility(utility: Utility) -> Utility:
    """The same, or a `ValueError` where it is neither of the two."""
    if utility not in ("metric", "log_loss"):
        raise ValueError(f"utility is 'metric' or 'log_loss', not {utility!r}")
    return utility


def mean_utilities(utility: Utility, metric: Metric, y: torch.Tensor, logits: torch.Tensor) -> np.ndarray:
    """Perf of many models.

    Parameters
    ----------
    utility : {"metric", "log_loss"}
        OpenDataVal's metric, or the negative mean loss.
    metric : callable
    y : torch.Tensor of shape (n, outputs)
    logits : torch.Tensor of shape (k, outputs, n)
        Of language models, log-probabilities of tokens.

    Returns
    -------
    numpy.ndarray of shape (k,)

    Raises
    ------
    FloatingPointError
        If a logit or a performance is NaN or infinite.
    """
    if utility == "metric":
        return model_utilities(metric, y, logits)
    if metric is negative_perplexity:
        return np.array([-mean_log_loss(y, one.T) for one in require_finite(logits)])
    return -model_losses(logits, y).double().mean(dim=1).cpu().numpy()
