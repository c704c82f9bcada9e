"""A valuation problem: what an evaluator may see, what is hidden from it, and what was done to the data.

The players are the training points, or subsets of them. An evaluator is given a fetcher, which holds copies of the
training set and of the validation set and nothing else: neither the hidden test set nor which players were disturbed can
be reached from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dvbench.problems.subsets import Subsets
from dvbench.randomness import integer_seed, random_state
from dvbench.settings import Kind, Noise

if TYPE_CHECKING:
    from opendataval.dataloader import DataFetcher


@dataclass(frozen=True)
class Split:
    """Points with their targets.

    Parameters
    ----------
    x : torch.Tensor of shape (n, ...)
        Features, float32; or of texts their tokens, uint16 of shape (n, length).
    y : torch.Tensor of shape (n, outputs)
        One-hot labels, or targets with one column, or the positions from which on the tokens of texts count; float32.
    """

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Problem:
    """A data set, split, with noise injected.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    kind : {"classification", "regression", "language"}
    train, validation, test : Split
        The players, the validation data evaluators may see, and the data tasks score with, which no evaluator sees.
    rows : numpy.ndarray of shape (n_train,)
        Row numbers of the players in the data set.
    corrupted : numpy.ndarray of bool, shape (players,)
        Which players carry injected noise.
    noise : Noise
    seed : int
        Seed of splits and noise.
    revision : str
        SHA-256 of the raw rows and labels in use, before scaling and noise.
    classes : tuple of str
        Class names in column order of ``y``; empty for others.
    groups : numpy.ndarray of int, shape (n_train,), optional
        Which player each point belongs to, where subsets are the players.
    vocabulary : int
        Number of token numbers of texts; 0 for others.
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
        """Performance of (targets, predictions), higher is better: accuracy, or negative mean squared error.

        Of texts it is the negative perplexity. These are functions and no method, from which an evaluator could reach
        this problem.
        """
        from opendataval.metrics import accuracy, neg_mse

        from dvbench.problems.perplexity import negative_perplexity

        return {"classification": accuracy, "regression": neg_mse, "language": negative_perplexity}[self.kind]

    def fetcher(self) -> DataFetcher:
        """Make what an evaluator is given: OpenDataVal's fetcher over new copies of train and validation data.

        OpenDataVal's fetcher has a slot for test data; it holds the validation set once more.
        """
        from opendataval.dataloader import DataFetcher

        return self._fetcher(DataFetcher)

    def subset_fetcher(self) -> DataFetcher:
        """Make the same with subsets as items; see `dvbench.problems.subsets.Subsets`."""
        from opendataval.dataloader import DataFetcher

        if self.groups is None:
            raise ValueError("the players of this problem are points")
        groups = self.groups

        class SubsetFetcher(DataFetcher):
            @property
            def datapoints(self) -> tuple[Any, ...]:
                x, y, *others = super().datapoints
                return Subsets(x, groups), Subsets(y, groups), *others

        return self._fetcher(SubsetFetcher)

    def _fetcher(self, kind: type[DataFetcher]) -> DataFetcher:
        validation = self._copied(self.validation)
        return kind.from_data_splits(
            *self._copied(self.train),
            *validation,
            *validation,
            one_hot=self.kind == "classification",
            random_state=random_state(integer_seed(self.dataset, self.seed, "fetcher")),
        )

    def _copied(self, split: Split) -> tuple[Any, Any]:
        """Copies of features and targets; OpenDataVal turns arrays into float32, and leaves tensors as they are."""
        x = split.x.clone() if self.kind == "language" else split.x.numpy().copy()
        return x, split.y.numpy().copy()

    def points_of(self, coalition: np.ndarray) -> np.ndarray:
        """Numbers of the points of players, of shape (k,): themselves, or those of the subsets in ascending order."""
        return coalition if self.groups is None else np.flatnonzero(np.isin(self.groups, coalition))

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Values of points (n_train,) summed over each player's points: (players,)."""
        return values if self.groups is None else np.bincount(self.groups, weights=values)
