"""The one loss of each kind of problem, on logits, with its gradient and its divergence between two models.

One column of targets means regression, several columns mean classification with one-hot labels. Logits and targets have
shape (n, outputs), or (copies, outputs, n) where many models are at work.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def is_classification(y: torch.Tensor) -> bool:
    """Whether targets are one-hot labels (several columns) or class numbers, and not real numbers (one column)."""
    return (y.ndim > 1 and y.shape[1] > 1) or (y.ndim == 1 and not y.is_floating_point())


def point_losses(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Loss of every point: cross-entropy for one-hot labels, half the squared error for one column.

    Parameters
    ----------
    logits, y : torch.Tensor of shape (n, outputs)
        Labels may be class numbers instead, int64 of shape (n,).

    Returns
    -------
    torch.Tensor of shape (n,)
    """
    if is_classification(y):
        return F.cross_entropy(logits, y, reduction="none")
    return 0.5 * (logits - y).square().sum(dim=1)


def model_losses(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Loss of every point by each of many models.

    Parameters
    ----------
    logits : torch.Tensor of shape (k, outputs, n)
    y : torch.Tensor of shape (n, outputs)

    Returns
    -------
    torch.Tensor of shape (k, n)
    """
    return point_losses(logits, y.to(logits).T.expand(logits.shape))


def residuals(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Gradient of `point_losses` with respect to the logits: predicted minus true.

    Returns
    -------
    torch.Tensor of shape (n, outputs)
    """
    return predictions(logits, y) - y


def divergences(logits: torch.Tensor, reference: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Divergence of every point's predicted distribution from a reference model's.

    Kullback-Leibler divergence KL(f || f_reference) of class probabilities; for regression that of two Gaussians with
    unit variance, half the squared difference.

    Parameters
    ----------
    logits, reference : torch.Tensor of shape (n, outputs)
    y : torch.Tensor of shape (any, outputs)
        Tells the kind of problem.

    Returns
    -------
    torch.Tensor of shape (n,)
    """
    if is_classification(y):
        log_p, log_q = F.log_softmax(logits, dim=1), F.log_softmax(reference, dim=1)
        return (log_p.exp() * (log_p - log_q)).sum(dim=1)
    return 0.5 * (logits - reference).square().sum(dim=1)


def divergence_slopes(logits: torch.Tensor, reference: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Gradient of `divergences` with respect to the logits, of their shape; parameters are those of `divergences`."""
    if not is_classification(y):
        return logits - reference
    log_p = logits.log_softmax(dim=1)
    p, gap = log_p.exp(), log_p - reference.log_softmax(dim=1)
    return p * (gap - (p * gap).sum(dim=1, keepdim=True))


def predictions(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Class probabilities, or the outputs themselves for regression; ``y`` tells which."""
    return logits.softmax(dim=1) if is_classification(y) else logits
