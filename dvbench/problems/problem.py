"""`Problem`, a valuation problem: the training, validation and hidden test set, and the mask of corrupted players.

The players are the training points, or subsets of them. An evaluator is given a fetcher that holds copies of the
training and the validation set. The hidden test set and the mask of corrupted players cannot be reached from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from dvbench.problems.evaluator_data import EvaluatorData, metric_of
from dvbench.randomness import integer_seed
from dvbench.settings import Kind, Noise

if TYPE_CHECKING:
    from opendataval.dataloader import DataFetcher


@dataclass(frozen=True)
class Split:
    """Features and targets of one of the three sets.

    Parameters
    ----------
    x : torch.Tensor of shape (n, ...)
        Features, float32. Of texts: token numbers, uint16 of shape (n, length).
    y : torch.Tensor of shape (n, outputs)
        Float32: one-hot labels, or targets (one column). Of texts: the position of the first token that the loss
        includes (one column).
    """

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Problem:
    """A data set after its rows were drawn, features scaled and noise injected.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    kind : {"classification", "regression", "language"}
    train, validation, test : Split
        The points that are valued, the data that evaluators measure utility on, and the hidden data that tasks score
        with.
    rows : numpy.ndarray of shape (n_train,)
        Row numbers of the training points in the data set.
    corrupted : numpy.ndarray of bool, shape (players,)
        Which players carry injected noise.
    noise : Noise
    seed : int
        Seed of the split, the noise and random groups.
    revision : str
        SHA-256 of the rows that were drawn: features, labels and row numbers, before scaling and noise.
    classes : tuple of str
        Class names in the order of the columns of ``y``; empty for regression and texts.
    groups : numpy.ndarray of int, shape (n_train,), optional
        Player of each training point, if players are subsets; None if they are points.
    vocabulary : int
        Number of different tokens of texts; 0 for other kinds.
    """

    dataset: str
    kind: Kind
    train: Split
    validation: Split
    test: Split
    rows: np.ndarray
    corrupted: np.ndarray
    noise: Noise
    seed: int
    revision: str
    classes: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    vocabulary: int = 0

    @property
    def players(self) -> int:
        """Number of players."""
        return len(self.corrupted)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one point's features."""
        return tuple(self.train.x.shape[1:])

    @property
    def outputs(self) -> int:
        """Number of classes, or 1 for regression, or the size of the vocabulary."""
        return self.vocabulary if self.kind == "language" else self.train.y.shape[1]

    @property
    def metric(self) -> Callable[[torch.Tensor, torch.Tensor], float]:
        """Utility of predictions; see `dvbench.problems.evaluator_data.metric_of`."""
        return metric_of(self.kind)

    @property
    def for_evaluators(self) -> EvaluatorData:
        """What evaluators are given. Its arrays share the memory of this problem."""
        train, validation = ((split.x.numpy(), split.y.numpy()) for split in (self.train, self.validation))
        seed = integer_seed(self.dataset, self.seed, "fetcher")
        return EvaluatorData(self.kind, train, validation, self.outputs, seed, self.groups)

    def fetcher(self) -> DataFetcher:
        """Make the object that evaluators read data from; see `EvaluatorData.fetcher`."""
        return self.for_evaluators.fetcher()

    def subset_fetcher(self) -> DataFetcher:
        """Make a fetcher whose training items are subsets; see `EvaluatorData.subset_fetcher`."""
        return self.for_evaluators.subset_fetcher()

    def points_of(self, coalition: np.ndarray) -> np.ndarray:
        """Point numbers of a coalition of players, of shape (k,); of subsets in ascending order."""
        return coalition if self.groups is None else np.flatnonzero(np.isin(self.groups, coalition))

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sum the values of points, shape (n_train,), over the points of each player; returns shape (players,)."""
        return self.for_evaluators.summed(values)
