"""The loss of each kind of problem as a function of logits, its gradient, and the divergence between two models.

One column of targets means regression, several columns mean classification with one-hot labels. Logits and targets have
shape (n, outputs), or (copies, outputs, n) for a stack of models.
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
    """Loss of every point under each of several models.

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
    """Gradient of `point_losses` with respect to the logits: prediction minus target.

    Parameters
    ----------
    logits, y : torch.Tensor of shape (n, outputs), or both (copies, outputs, n)

    Returns
    -------
    torch.Tensor of the shape of ``logits``
    """
    return predictions(logits, y) - y


def divergences(logits: torch.Tensor, reference: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Divergence of a model's prediction from that of a reference model, for every point.

    For classification it is the Kullback-Leibler divergence KL(f || f_reference) of class probabilities. For regression
    it is that of two Gaussians with unit variance: half the squared difference.

    Parameters
    ----------
    logits, reference : torch.Tensor of shape (n, outputs)
    y : torch.Tensor of shape (any, outputs)
        Targets; only their shape and type are used, which determine the kind of problem.

    Returns
    -------
    torch.Tensor of shape (n,)
    """
    if is_classification(y):
        log_p, log_q = F.log_softmax(logits, dim=1), F.log_softmax(reference, dim=1)
        return (log_p.exp() * (log_p - log_q)).sum(dim=1)
    return 0.5 * (logits - reference).square().sum(dim=1)


def divergence_gradients(logits: torch.Tensor, reference: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Gradient of `divergences` with respect to ``logits``, of the same shape. It has the same parameters."""
    if not is_classification(y):
        return logits - reference
    log_p = logits.log_softmax(dim=1)
    p, log_ratio = log_p.exp(), log_p - reference.log_softmax(dim=1)
    return p * (log_ratio - (p * log_ratio).sum(dim=1, keepdim=True))


def predictions(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Class probabilities for classification, or the logits unchanged for regression; ``y`` determines which."""
    return logits.softmax(dim=1) if is_classification(y) else logits
