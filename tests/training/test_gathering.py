"""`as_tensor` against what indexing the data set point by point gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from dvbench.training.tensors import as_tensor

ROWS = torch.arange(12.0).reshape(6, 2)


class Squares(Dataset):
    """Computes its points, as a data set that reads files does."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return torch.tensor([float(i), float(i**2)])


def test_a_tensor_is_not_copied():
    assert as_tensor(ROWS) is ROWS


@pytest.mark.parametrize("indices", [[4, 0, 0], np.array([4, 0, 0]), torch.tensor([4, 0, 0]), range(4, 0, -2)])
def test_a_subset_keeps_order_and_repetitions(indices):
    assert as_tensor(Subset(ROWS, indices)).tolist() == [ROWS[int(i)].tolist() for i in indices]


@pytest.mark.parametrize("indices", [[], np.array([], dtype=int)])
def test_an_empty_subset_has_the_shape_of_no_points(indices):
    assert as_tensor(Subset(ROWS, indices)).shape == (0, 2)


def test_nested_subsets_and_concatenations():
    inner = ConcatDataset([Subset(ROWS, [5, 1]), ROWS[:2], Squares(3)])
    outer = Subset(Subset(inner, [6, 0, 3]), [2, 0])
    assert as_tensor(outer).tolist() == [ROWS[1].tolist(), [2.0, 4.0]]
    assert as_tensor(outer).tolist() == [outer[i].tolist() for i in range(len(outer))]


def test_any_data_set_is_read_in_order_and_whole():
    gathered = as_tensor(Squares(1500))  # more than one batch of the loader
    assert gathered.tolist() == [[float(i), float(i**2)] for i in range(1500)]


def test_of_points_in_several_parts_the_first_part_is_taken():
    assert torch.equal(as_tensor(TensorDataset(ROWS, torch.zeros(6))), ROWS)
