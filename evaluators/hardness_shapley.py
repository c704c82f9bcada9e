"""Hardness Shapley: CHG Shapley without gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from dvbench.training.heads import features_and_logits, output_layer
from dvbench.training.losses import point_losses
from evaluators.common.training_dynamics import TrainingDynamics, chunks


def hardness_shapley_values(losses: ArrayLike) -> np.ndarray:
    """Shapley values of U(S) = mean loss of S, U(empty) = 0, exactly, for every n >= 1.

    Parameters
    ----------
    losses : array of shape (n,)

    Returns
    -------
    numpy.ndarray of shape (n,), float64
        They sum to the mean loss.

    Raises
    ------
    ValueError
        If losses have another shape, or there are none.
    """
    loss = np.asarray(losses, dtype=np.float64)
    n = len(loss) if loss.ndim == 1 else 0
    if n == 0:
        raise ValueError(f"losses must have shape (n,) with n >= 1, not {loss.shape}")
    if n == 1:
        return loss.copy()
    h1 = (1 / np.arange(1, n + 1)).sum()
    values: np.ndarray = (h1 * loss - (h1 - 1) / (n - 1) * (loss.sum() - loss)) / n
    return values


class HardnessShapley(TrainingDynamics):
    """Hardness Shapley: CHG Shapley's hardness part as an evaluator of its own; the utility is a coalition's mean loss.

    A point with a high loss gets a high value, and mislabelled points have high losses. So its ranking is the wrong way
    round for the detection of noise, which is why the paper multiplies hardness by the gradient.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Not used: given the trained model, the values are deterministic.

    Notes
    -----
    Variant: what the CHG Shapley paper has as an ablation.

    Values: loss of the point, in its unit; a high one is of a hard or mislabelled point.

    Takes: classifications and regressions, points and subsets; no texts.

    Between processors: equal up to rounding.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    # The registry reads parameters from the source of this file.
    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state)

    @torch.no_grad()
    def epoch_values(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        """Shapley values for the current parameters of the network, shape (n,)."""
        device, layer = next(network.parameters()).device, output_layer(network, x)
        losses = [
            point_losses(features_and_logits(network, points.to(device), layer)[1], targets.to(device)).cpu()
            for points, targets in chunks(x, y)
        ]
        return hardness_shapley_values(torch.cat(losses).numpy())
