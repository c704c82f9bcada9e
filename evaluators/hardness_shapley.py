"""Hardness Shapley: CHG Shapley without gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from dvbench.training.heads import features_and_logits
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
        If there is not one loss a player.
    """
    loss = np.asarray(losses, dtype=np.float64)
    n = len(loss) if loss.ndim == 1 else 0
    if n == 0:
        raise ValueError(f"losses must have shape (n,) with n >= 1, not {loss.shape}")
    if n == 1:
        return loss.copy()
    h1 = (1 / np.arange(1, n + 1)).sum()
    return (h1 * loss - (h1 - 1) / (n - 1) * (loss.sum() - loss)) / n


class HardnessShapley(TrainingDynamics):
    """Hardness Shapley: CHG Shapley's ablation without gradients, the utility being a coalition's mean loss.

    A hard point gets a high value, and a mislabelled point is hard: as a detector of noise it is wrong by design, which
    is why the paper multiplies hardness by the gradient.

    Parameters
    ----------
    random_state : int or RandomState, optional
        Taken for the sake of OpenDataVal's interface: given the trained model nothing here is random.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    @torch.no_grad()
    def epoch_values(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        """Shapley values in the present state of the network, shape (n,)."""
        device = next(network.parameters()).device
        losses = [
            point_losses(features_and_logits(network, points.to(device))[1], targets.to(device)).cpu()
            for points, targets in chunks(x, y)
        ]
        return hardness_shapley_values(torch.cat(losses).numpy())
