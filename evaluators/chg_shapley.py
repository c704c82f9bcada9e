"""CHG Shapley: closed-form Shapley values of a utility made of hardness and gradients, from one training.

With x_i the feature of player i and a the target, the utility of a coalition S is

    U(S) = ||a||^2 - ||a - mean_{i in S} x_i||^2,    U(empty) = 0,

so U rewards coalitions whose mean feature is near the target. Its Shapley values have a closed form, linear in n.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from dvbench.models.heads import CHUNK, features_and_logits
from dvbench.models.losses import point_losses, residuals
from evaluators.epochs import TrainingDynamics


def chg_shapley_values(features: ArrayLike, target: ArrayLike | None = None) -> np.ndarray:
    """Shapley values of U(S) = ||a||^2 - ||a - mean of S||^2, exactly, for every n >= 1.

    Parameters
    ----------
    features : array of shape (n, d)
        One row a player.
    target : array of shape (d,), optional
        The target a; by default the mean of the features.

    Returns
    -------
    numpy.ndarray of shape (n,), float64
        They sum to U of all players.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    References
    ----------
    The closed form of Theorem 1 of the CHG Shapley paper, derived anew and checked against enumeration.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"features must have shape (n, d) with n >= 1, not {x.shape}")
    s = x.sum(axis=0)
    a = s / len(x) if target is None else np.asarray(target, dtype=np.float64)
    if a.shape != x.shape[1:]:
        raise ValueError(f"target must have shape {x.shape[1:]}, not {a.shape}")
    return _closed_form(np.einsum("ij,ij->i", x, x), x @ s, float(s @ s), x @ a, float(s @ a))


def _closed_form(norms: np.ndarray, dots: np.ndarray, norm: float, aims: np.ndarray, aim: float) -> np.ndarray:
    """Shapley values from inner products alone.

    Parameters
    ----------
    norms, dots, aims : numpy.ndarray of shape (n,)
        ||x_j||^2, <x_j, s> and <x_j, a>, with s the sum of all x.
    norm, aim : float
        ||s||^2 and <s, a>.

    Returns
    -------
    numpy.ndarray of shape (n,)
    """
    n = len(norms)
    if n == 1:
        return 2 * aims - norms
    k = np.arange(1, n, dtype=np.float64)
    steps = 1 / (k + 1) ** 2 - 1 / k**2
    h1, h2 = 1 + (1 / (k + 1)).sum(), 1 + (1 / (k + 1) ** 2).sum()
    c1 = (k / (k + 1) ** 2).sum() / (n - 1)
    cq = (k * steps).sum() / (n - 1)
    cs = (k * (k - 1) * steps).sum() / ((n - 1) * (n - 2)) if n > 2 else 0.0
    rest = norm - 2 * dots + norms  # ||s - x_j||^2
    others = norms.sum() - norms  # sum of the other players' squared norms
    linear = (h1 * aims - (h1 - 1) / (n - 1) * (aim - aims)) / n
    quadratic = (h2 * norms + 2 * c1 * (dots - norms) + cq * others + cs * (rest - others)) / n
    return 2 * linear - quadratic


class CHGShapley(TrainingDynamics):
    """CHG Shapley: Shapley values of how well a coalition's mean of loss times gradient meets everybody's.

    At the start of every epoch a player's feature is its loss times the gradient of its loss with respect to the last
    layer's weights and bias; the closed-form values are averaged over epochs. The gradient of a linear last layer is an
    outer product, so two streamed passes over the data suffice: time O(n C H) and, besides the values, memory O(C H).

    Parameters
    ----------
    per_class : bool
        Play the game inside each class instead of among all players.
    random_state : int or RandomState, optional
        Taken for the sake of OpenDataVal's interface: given the trained model nothing here is random.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024.
    """

    def __init__(self, per_class: bool = False, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__(random_state)
        self.per_class = per_class

    def epoch_values(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        """Shapley values in the present state of the network, shape (n,)."""
        groups = y.argmax(dim=1) if self.per_class else torch.zeros(len(x), dtype=torch.long)
        sums, norms = self._sums_and_norms(network, x, y, groups)
        dots = self._dots(network, x, y, groups, sums)
        values = np.empty(len(x))
        for group, total in sums.items():
            members = (groups == group).numpy()
            norm, n = float(total.square().sum()), int(members.sum())
            values[members] = _closed_form(norms[members], dots[members], norm, dots[members] / n, norm / n)
        return values

    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """Factor of each gradient, shape (n,): the loss."""
        return losses

    def _factors(self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both factors of every feature in a batch: weighted residuals (b, C) and inputs with a one (b, H + 1)."""
        device = next(network.parameters()).device
        with torch.no_grad():
            inputs, logits = features_and_logits(network, x.to(device))
            y = y.to(device)
            left = residuals(logits, y) * self.weights(point_losses(logits, y)).unsqueeze(1)
            right = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
        return left.double(), right.double()

    def _sums_and_norms(
        self, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, groups: torch.Tensor
    ) -> tuple[dict[int, torch.Tensor], np.ndarray]:
        """First pass: the sum of features of each group (C, H + 1), and every feature's squared norm (n,)."""
        sums: dict[int, torch.Tensor] = {}
        norms = []
        for batch in torch.arange(len(x)).split(CHUNK):
            left, right = self._factors(network, x[batch], y[batch])
            norms.append((left.square().sum(dim=1) * right.square().sum(dim=1)).cpu())
            for group in groups[batch].unique().tolist():
                members = (groups[batch] == group).to(left.device)
                part = left[members].T @ right[members]
                sums[group] = sums[group] + part if group in sums else part
        return sums, torch.cat(norms).numpy()

    def _dots(
        self,
        network: torch.nn.Module,
        x: torch.Tensor,
        y: torch.Tensor,
        groups: torch.Tensor,
        sums: dict[int, torch.Tensor],
    ) -> np.ndarray:
        """Second pass: inner product of every feature with its group's sum, shape (n,)."""
        dots = []
        for batch in torch.arange(len(x)).split(CHUNK):
            left, right = self._factors(network, x[batch], y[batch])
            part = torch.empty(len(batch), dtype=torch.float64)
            for group in groups[batch].unique().tolist():
                members = groups[batch] == group
                chosen = members.to(left.device)
                part[members] = ((left[chosen] @ sums[group]) * right[chosen]).sum(dim=1).cpu()
            dots.append(part)
        return torch.cat(dots).numpy()
