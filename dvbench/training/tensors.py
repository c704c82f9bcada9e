"""Converts the data that OpenDataVal passes to a model into tensors, so that points are not read one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from dvbench.problems.subsets import Subsets


def as_tensor(data: torch.Tensor | Dataset[Any]) -> torch.Tensor:
    """Collect a data set in one tensor.

    Parameters
    ----------
    data : torch.Tensor or torch.utils.data.Dataset
        A tensor, subsets and concatenations of tensors in any nesting, or any other data set, which is read point by
        point. For `Subsets`, the points of all their subsets are collected.

    Returns
    -------
    torch.Tensor of shape (n, ...)
        If ``data`` is a tensor, it is returned without a copy.
    """
    if isinstance(data, torch.Tensor):
        return data
    if isinstance(data, Subsets):
        return data.points[torch.from_numpy(data.expand(range(len(data))))]
    if isinstance(data, Subset):
        if isinstance(data.dataset, Subsets):
            return data.dataset.points[torch.from_numpy(data.dataset.expand(data.indices))]
        if isinstance(data.dataset, Subset):
            return as_tensor(Subset(data.dataset.dataset, [data.dataset.indices[i] for i in data.indices]))
        indices = torch.as_tensor(data.indices, dtype=torch.long)
        return as_tensor(data.dataset)[indices]
    if isinstance(data, ConcatDataset):
        return torch.cat([as_tensor(part) for part in data.datasets])
    parts = list(DataLoader(data, batch_size=1024, generator=torch.Generator()))
    return (
        torch.cat([part if isinstance(part, torch.Tensor) else part[0] for part in parts]) if parts else torch.empty(0)
    )


def as_rows(points: torch.Tensor) -> np.ndarray:
    """Points (n, ...) as an array with one row for each, on the CPU."""
    return points.reshape(len(points), -1).numpy(force=True)


def as_indices(coalition: np.ndarray, n: int) -> torch.Tensor:
    """Convert a coalition into a tensor of indices.

    Parameters
    ----------
    coalition : numpy.ndarray of int, shape (k,)
    n : int
        Number of players.

    Returns
    -------
    torch.Tensor of int64, shape (k,)

    Raises
    ------
    ValueError
        If it is not an array of player numbers.
    """
    members = np.asarray(coalition)
    if members.ndim != 1 or (
        len(members) and (members.dtype.kind not in "iu" or not 0 <= members.min() <= members.max() < n)
    ):
        raise ValueError(f"a coalition is an array of whole numbers from 0 to {n - 1}")
    return torch.from_numpy(members.astype(np.int64))
