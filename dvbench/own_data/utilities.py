"""Utilities of predictions that a user can choose."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dvbench.problems.problem import Problem

SMALLEST = 1e-7  # a probability of 0 would have an infinite log loss


def metric_of(utility: str, problem: Problem) -> Callable[[torch.Tensor, torch.Tensor], float]:
    """Return the function of (targets, predictions) of a utility; higher is better."""
    return negative_log_loss if utility == "log_loss" else problem.metric


def negative_log_loss(y: torch.Tensor, predicted: torch.Tensor) -> float:
    """Mean logarithm of the predicted probability of the true class.

    Parameters
    ----------
    y : torch.Tensor of shape (n, classes)
        One-hot labels.
    predicted : torch.Tensor of shape (n, classes)
        Probabilities.
    """
    probabilities = predicted.to(y.device).clamp(min=SMALLEST)
    return float((y * probabilities.log()).sum(dim=1).mean())
