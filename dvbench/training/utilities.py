"""Performance of many models at once, in whatever metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dvbench.training.losses import predictions

Metric = Callable[[torch.Tensor, torch.Tensor], float]


def require_finite(logits: torch.Tensor) -> torch.Tensor:
    """The same logits.

    Raises
    ------
    FloatingPointError
        If one of them is NaN or infinite, which finite parameters can bring about too.
    """
    if not bool(logits.isfinite().all()):
        raise FloatingPointError("a model diverged: its outputs are NaN or infinite; lower the learning rate")
    return logits


def model_utilities(metric: Metric, y: torch.Tensor, logits: torch.Tensor) -> np.ndarray:
    """Performance of every model.

    Parameters
    ----------
    metric : callable
        OpenDataVal's kind of metric, of (targets, predictions). Its accuracy is computed for all models at once, any
        other model by model.
    y : torch.Tensor of shape (n, outputs)
    logits : torch.Tensor of shape (copies, outputs, n)

    Returns
    -------
    numpy.ndarray of shape (copies,)

    Raises
    ------
    FloatingPointError
        If a logit or a performance is NaN or infinite.
    """
    require_finite(logits)
    from opendataval.metrics import accuracy

    if metric is accuracy and y.shape[1] > 1:
        # Unlike argmax along this dimension, max is vectorised; it takes the first of equals just so.
        right = logits.max(dim=1).indices == y.to(logits.device).argmax(dim=1)
        return right.float().mean(dim=1).double().cpu().numpy()
    predicted = predictions(logits, y).transpose(1, 2).cpu()
    found = np.array([float(metric(y.cpu(), one)) for one in predicted])
    if not np.isfinite(found).all():
        raise FloatingPointError(
            f"the metric of a model is {found[~np.isfinite(found)][0]}, and not a number to value by"
        )
    return found
