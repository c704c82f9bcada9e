"""The loss of each kind of problem as a function of logits, its gradient, and the divergence between two models.

One column of targets means regression, several columns mean classification with one-hot labels. Logits and targets have
shape (n, outputs), or (copies, outputs, n) for a stack of models. Labels may be class numbers instead, whole numbers of
shape (n,) or (copies, n): one-hot labels of the words of a language would take as much memory as its logits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def is_classification(y: torch.Tensor) -> bool:
    """Whether targets are one-hot labels (several columns) or class numbers, and not real numbers (one column)."""
    return (y.ndim > 1 and y.shape[1] > 1) or (y.ndim == 1 and not y.is_floating_point())


def predicts_classes(logits: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether logits are those of classes, which ``y`` tells by one-hot labels or class numbers."""
    return is_classification(y) or (y.ndim < logits.ndim and not y.is_floating_point())


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Logarithm of class probabilities: `torch.log_softmax` over the outputs, dimension 1.

    If the outputs of a point follow each other in memory, as those of the many words of a language do, the result has
    that layout too. torch would copy such logits to the other layout, and reduce along a stride.

    Parameters
    ----------
    logits : torch.Tensor of shape (n, outputs) or (copies, outputs, n)
    """
    if logits.ndim == 3 and logits.stride(1) == 1:
        return logits.mT.log_softmax(dim=2).mT
    return logits.log_softmax(dim=1)


def point_losses(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Loss of every point: cross-entropy for one-hot labels, half the squared error for one column.

    Parameters
    ----------
    logits, y : torch.Tensor of shape (n, outputs), or both (copies, outputs, n)
        Labels may be class numbers instead, int64 of shape (n,) or (copies, n).

    Returns
    -------
    torch.Tensor of shape (n,) or (copies, n)
    """
    if not y.is_floating_point() and y.ndim < logits.ndim:
        return -log_probabilities(logits).gather(1, y.unsqueeze(1)).squeeze(1)
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
        Labels may be class numbers instead, int64 of shape (n,) or (copies, n).

    Returns
    -------
    torch.Tensor of the shape of ``logits``
    """
    if not y.is_floating_point() and y.ndim < logits.ndim:
        return subtract_one_hot(predictions(logits, y), y)
    return predictions(logits, y) - y


def subtract_one_hot(probabilities: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Subtract the one-hot labels of class numbers (n,) or (copies, n) in place, and return the result."""
    classes = y.unsqueeze(1)
    return probabilities.scatter_add_(1, classes, probabilities.new_tensor(-1.0).expand(classes.shape))


def divergences(logits: torch.Tensor, reference: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Divergence of a model's prediction from that of a reference model, for every point.

    For classification it is the Kullback-Leibler divergence KL(f || f_reference) of class probabilities. For regression
    it is that of two Gaussians with unit variance: half the squared difference.

    Parameters
    ----------
    logits, reference : torch.Tensor of shape (n, outputs)
    y : torch.Tensor of shape (any, outputs), or int64 of shape (n,) or (copies, n)
        Targets; only their shape and type are used, which determine the kind of problem.

    Returns
    -------
    torch.Tensor of shape (n,)
    """
    if predicts_classes(logits, y):
        log_p, log_q = log_probabilities(logits), log_probabilities(reference)
        return (log_p.exp() * (log_p - log_q)).sum(dim=1)
    return 0.5 * (logits - reference).square().sum(dim=1)


def divergence_gradients(logits: torch.Tensor, reference: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Gradient of `divergences` with respect to ``logits``, of the same shape. It has the same parameters."""
    if not predicts_classes(logits, y):
        return logits - reference
    log_p = log_probabilities(logits)
    log_ratio = log_p - log_probabilities(reference)
    p = log_p.exp_()
    return log_ratio.sub_((p * log_ratio).sum(dim=1, keepdim=True)).mul_(p)


def predictions(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Class probabilities for classification, or the logits unchanged for regression; ``y`` determines which.

    Their layout in memory is that of `log_probabilities`.
    """
    if not predicts_classes(logits, y):
        return logits
    if logits.ndim == 3 and logits.stride(1) == 1:
        return logits.mT.softmax(dim=2).mT
    return logits.softmax(dim=1)
