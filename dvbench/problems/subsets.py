"""`Subsets`, a data set whose items are groups of points, for problems whose players are subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset


class Subsets(Dataset[torch.Tensor]):
    """A data set whose items are groups of points.

    It stands in for a tensor of points: an evaluator that trains models on a `torch.utils.data.Subset` of its players,
    or on all of them, needs no change, because models use the points of the groups that they are given.

    Parameters
    ----------
    points : torch.Tensor of shape (n, ...)
        Features or targets of all points.
    groups : numpy.ndarray of int, shape (n,)
        Group number of each point, from 0; no group may be empty.

    Attributes
    ----------
    members : list of numpy.ndarray of int
        Point numbers of each group, in ascending order.
    """

    def __init__(self, points: torch.Tensor, groups: np.ndarray) -> None:
        self.points = points
        order = np.argsort(groups, kind="stable")
        self.members = np.split(order, np.bincount(groups).cumsum()[:-1])

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, group: int) -> torch.Tensor:
        """Points of one group, of shape (k, ...)."""
        return self.points[torch.from_numpy(self.members[group])]

    def expand(self, coalition: Sequence[int] | np.ndarray) -> np.ndarray:
        """Point numbers of a coalition of groups, group after group; int64 of shape (k,)."""
        parts = [self.members[int(group)] for group in coalition]
        return np.concatenate(parts) if parts else np.arange(0)
