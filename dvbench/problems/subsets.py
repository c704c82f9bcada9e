"""Subsets as players: a data set whose items are groups of points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset


class Subsets(Dataset[torch.Tensor]):
    """Groups of points, each of which is one item.

    An evaluator that trains models on a `torch.utils.data.Subset` of its players, or on all of them, works on this as
    it does on points: the model takes the points of the groups it is given.

    Parameters
    ----------
    points : torch.Tensor of shape (n, ...)
        Features or targets of all points.
    groups : numpy.ndarray of int, shape (n,)
        Which group each point belongs to, from 0; none may be empty.

    Attributes
    ----------
    members : list of numpy.ndarray of int
        Numbers of each group's points.
    """

    def __init__(self, points: torch.Tensor, groups: np.ndarray) -> None:
        self.points = points
        order = np.argsort(groups, kind="stable")
        self.members = np.split(order, np.bincount(groups).cumsum()[:-1])

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, group: int) -> torch.Tensor:
        """Points of one group, (k, ...)."""
        return self.points[torch.from_numpy(self.members[group])]

    def expand(self, coalition: Sequence[int] | np.ndarray) -> np.ndarray:
        """Numbers of the points of groups, one group after the other; int64 of shape (k,)."""
        parts = [self.members[int(group)] for group in coalition]
        return np.concatenate(parts) if parts else np.arange(0)
