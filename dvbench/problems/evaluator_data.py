"""`EvaluatorData`, the part of a problem that an evaluator is given: the training and the validation set.

It holds arrays, so that it can be sent to another process. Nothing in it names the data set, or is drawn from its seed
in a way that could be reversed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dvbench.problems.subsets import Subsets
from dvbench.randomness import random_state
from dvbench.settings import Kind

if TYPE_CHECKING:
    from opendataval.dataloader import DataFetcher

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class EvaluatorData:
    """The training and the validation set of a problem.

    Parameters
    ----------
    kind : {"classification", "regression", "language"}
    train, validation : tuple of numpy.ndarray
        Features (n, ...) and targets (n, outputs); see `dvbench.problems.problem.Split`.
    outputs : int
        Number of classes, or 1 for regression, or the size of the vocabulary.
    seed : int
        Seed of the fetcher.
    groups : numpy.ndarray of int, shape (n_train,), optional
        Player of each training point, if players are subsets.
    """

    kind: Kind
    train: Arrays
    validation: Arrays
    outputs: int
    seed: int
    groups: np.ndarray | None = None

    @property
    def players(self) -> int:
        """Number of players."""
        return len(self.train[0]) if self.groups is None else int(self.groups.max()) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one point's features."""
        return self.train[0].shape[1:]

    @property
    def metric(self) -> Callable[[torch.Tensor, torch.Tensor], float]:
        """Utility of predictions; see `metric_of`."""
        return metric_of(self.kind)

    def fetcher(self) -> DataFetcher:
        """Make the object that evaluators read data from: OpenDataVal's fetcher with new copies of the data.

        It holds the training and the validation set. Its test slot, which OpenDataVal requires, holds the validation
        set a second time.
        """
        from opendataval.dataloader import DataFetcher

        return self._fetcher(DataFetcher)

    def subset_fetcher(self) -> DataFetcher:
        """Make a fetcher whose training items are subsets; see `dvbench.problems.subsets.Subsets`.

        Raises
        ------
        ValueError
            If the players are points.
        """
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

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sum the values of points, shape (n_train,), over the points of each player; returns shape (players,)."""
        return values if self.groups is None else np.bincount(self.groups, weights=values)

    def _fetcher(self, fetcher_class: type[DataFetcher]) -> DataFetcher:
        validation = self._copy(self.validation)
        return fetcher_class.from_data_splits(
            *self._copy(self.train),
            *validation,
            *validation,
            one_hot=self.kind == "classification",
            random_state=random_state(self.seed),
        )

    def _copy(self, split: Arrays) -> tuple[Any, Any]:
        """Copy features and targets. OpenDataVal converts arrays to float32 but not tensors, so tokens are a tensor."""
        x, y = split[0].copy(), split[1].copy()
        return torch.from_numpy(x) if self.kind == "language" else x, y


def metric_of(kind: Kind) -> Callable[[torch.Tensor, torch.Tensor], float]:
    """Return the utility of predictions, a function of (targets, predictions); higher is better.

    Accuracy for classification, negative mean squared error for regression, negative perplexity for texts. It is a
    function of a module, not a method, because an evaluator could reach its problem from a method.
    """
    from opendataval.metrics import accuracy, neg_mse

    from dvbench.problems.perplexity import negative_perplexity

    metrics: dict[Kind, Callable[[torch.Tensor, torch.Tensor], float]] = {
        "classification": accuracy,
        "regression": neg_mse,
        "language": negative_perplexity,
    }
    return metrics[kind]
