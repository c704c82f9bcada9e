"""Computes the utility of many models: the value of the problem's metric for their predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dvbench.training.losses import predictions

Metric = Callable[[torch.Tensor, torch.Tensor], float]


def require_finite(logits: torch.Tensor) -> torch.Tensor:
    """Return the logits unchanged.

    Raises
    ------
    FloatingPointError
        If a logit is NaN or infinite, which can happen although all parameters are finite.
    """
    if not bool(logits.isfinite().all()):
        raise FloatingPointError("a model diverged: its outputs are NaN or infinite; use a lower learning rate")
    return logits


def model_utilities(metric: Metric, y: torch.Tensor, logits: torch.Tensor) -> np.ndarray:
    """Utility of every model.

    Parameters
    ----------
    metric : callable
        A metric as OpenDataVal defines it: it maps (targets, predictions) to a number. OpenDataVal's accuracy is
        computed for all models together, any other metric for one model after the other.
    y : torch.Tensor of shape (n, outputs)
    logits : torch.Tensor of shape (copies, outputs, n)

    Returns
    -------
    numpy.ndarray of shape (copies,)

    Raises
    ------
    FloatingPointError
        If a logit or a utility is NaN or infinite.
    """
    require_finite(logits)
    from opendataval.metrics import accuracy

    if metric is accuracy and y.shape[1] > 1:
        # max is vectorised along this dimension and argmax is not; both take the first of equal logits.
        correct = logits.max(dim=1).indices == y.to(logits.device).argmax(dim=1)
        return correct.float().mean(dim=1).double().cpu().numpy()
    predicted = predictions(logits, y).transpose(1, 2).cpu()
    utilities = np.array([float(metric(y.cpu(), prediction)) for prediction in predicted])
    if not np.isfinite(utilities).all():
        raise FloatingPointError(
            f"the utility of a model is {utilities[~np.isfinite(utilities)][0]}; it must be a finite number"
        )
    return utilities
