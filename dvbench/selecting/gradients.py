"""Gradients of many points with respect to a linear last layer, as outer products that are never multiplied out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dvbench.games import mean_distance_values

Rows = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class Gradients:
    """The gradient of point i is the outer product of ``left[i]`` and ``right[i]``, a matrix of shape (C, D).

    Parameters
    ----------
    left : torch.Tensor of shape (n, C)
        Gradients of the losses with respect to the logits.
    right : torch.Tensor of shape (n, D)
        Inputs of the last layer, and a 1 for its bias; for the bias alone only that 1.
    """

    left: torch.Tensor
    right: torch.Tensor

    def __len__(self) -> int:
        return len(self.left)

    def at(self, rows: Rows) -> Gradients:
        """Return the gradients of some points."""
        rows = torch.as_tensor(rows, device=self.left.device)
        return Gradients(self.left[rows], self.right[rows])

    def scaled(self, factors: torch.Tensor) -> Gradients:
        """Return the gradients times a factor (n,) each."""
        return Gradients(self.left * factors.unsqueeze(1), self.right)

    def squared_norms(self) -> torch.Tensor:
        """Squared norm of each gradient: float64, (n,)."""
        left, right = (torch.linalg.vector_norm(part, dim=1).double() for part in (self.left, self.right))
        norms: torch.Tensor = left * right
        return norms.square()

    def sum(self) -> torch.Tensor:
        """Sum of all gradients, of shape (C, D)."""
        return self.left.T @ self.right

    def mean(self) -> torch.Tensor:
        """Mean of all gradients, of shape (C, D)."""
        return self.sum() / len(self)

    def dots(self, matrix: torch.Tensor) -> torch.Tensor:
        """Inner product of each gradient with a matrix of shape (C, D): float64, (n,)."""
        # right @ matrix.T, with its few columns and many rows, takes twice as long.
        return ((matrix @ self.right.T).T.double() * self.left.double()).sum(dim=1)

    def products(self, others: Gradients) -> torch.Tensor:
        """Inner product of each gradient with each of others: (n, m)."""
        return (self.left @ others.left.T) * (self.right @ others.right.T)

    def distances(self, others: Gradients) -> torch.Tensor:
        """Distance of each gradient from each of others: (n, m)."""
        norms = self.squared_norms().unsqueeze(1) + others.squared_norms()
        return (norms - 2 * self.products(others)).clamp(min=0).sqrt().to(self.left.dtype)

    def batch_means(self, batch_size: int) -> torch.Tensor:
        """Mean gradient of each run of ``batch_size`` points, as rows: (batches, C * D)."""
        parts = zip(self.left.split(batch_size), self.right.split(batch_size), strict=True)
        return torch.stack([(left.T @ right).flatten() / len(left) for left, right in parts])


def gradient_shapley_values(gradients: Gradients) -> torch.Tensor:
    """Shapley values of how near the mean of a coalition's gradients is to the mean of all: float64, (n,).

    The utility is U(S) = ||a||^2 - ||a - mean_{i in S} x_i||^2 with x_i the gradients, a their mean, and U(empty) = 0.
    It takes O(n C D) operations.
    """
    n, total = len(gradients), gradients.sum()
    norms, dots = gradients.squared_norms(), gradients.dots(total)
    squared = float(total.double().square().sum())
    return mean_distance_values(n, float(norms.sum()), squared, squared / n, norms, dots, dots / n)
