"""The two utilities of a model on the validation set that unlearning evaluators offer."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from dvbench.problems.perplexity import mean_log_loss, negative_perplexity
from dvbench.training.losses import model_losses
from dvbench.training.utilities import Metric, model_utilities, require_finite

Utility = Literal["metric", "log_loss"]


def checked_utility(utility: Utility) -> Utility:
    """Return the utility, or raise a `ValueError` if it is neither ``"metric"`` nor ``"log_loss"``."""
    if utility not in ("metric", "log_loss"):
        raise ValueError(f"utility is 'metric' or 'log_loss', not {utility!r}")
    return utility


def mean_utilities(utility: Utility, metric: Metric, y: torch.Tensor, outputs: torch.Tensor) -> np.ndarray:
    """Utility of every model.

    Parameters
    ----------
    utility : {"metric", "log_loss"}
        OpenDataVal's metric, or the negative mean loss.
    metric : callable
    y : torch.Tensor of shape (n, outputs)
    outputs : torch.Tensor of shape (k, outputs, n)
        Logits, or log-probabilities of tokens for language models.

    Returns
    -------
    numpy.ndarray of shape (k,)

    Raises
    ------
    FloatingPointError
        If an output or a utility is NaN or infinite.
    """
    if utility == "metric":
        return model_utilities(metric, y, outputs)
    if metric is negative_perplexity:
        return np.array([-mean_log_loss(y, of_model.T) for of_model in require_finite(outputs)])
    return -model_losses(outputs, y).double().mean(dim=1).cpu().numpy()
