"""Lets a strategy choose: class by class if it wants that, and exactly as many points as the budget says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dvbench.randomness import generator, integer_seed
from dvbench.selecting.contract import Points, SelectionStrategy
from dvbench.selecting.factory import budget_of
from dvbench.selecting.gradients import Rows
from dvbench.selecting.looking import look
from dvbench.settings import SelectionSettings
from dvbench.training.selective import Chosen

HEAVIEST = float(np.finfo(np.float16).max)
Tensors = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Chooser:
    """Chooses points for a training, see `dvbench.training.selective.Choose`.

    Parameters
    ----------
    strategy : SelectionStrategy
    train, validation : tuple of torch.Tensor
        Features and one-hot labels, on the model's device.
    how : SelectionSettings
    fraction : float
        Fraction of the points to keep.
    key : tuple of str or int
        Key of the random numbers.
    values : torch.Tensor of shape (n,), optional
        Values of the points by an evaluator.
    """

    strategy: SelectionStrategy
    train: Tensors
    validation: Tensors
    how: SelectionSettings
    fraction: float
    key: tuple[str | int, ...]
    values: torch.Tensor | None = None

    def __post_init__(self) -> None:
        self._kept: Chosen | None = None

    def __call__(self, network: nn.Module, number: int) -> Chosen:
        """Choose for the epochs of a selection, numbered from 0."""
        if self._kept is not None:
            return self._kept
        n, key = len(self.train[0]), (*self.key, str(self.fraction), number)
        if self.strategy.keeps_all:
            return Chosen(np.arange(n), np.ones(n, dtype=np.float32))
        rng, budget = generator(*key, "choice"), budget_of(self.fraction, n)
        if number == 0 and not self.strategy.at_start:
            return _completed(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32), n, budget, rng)
        points = self._points(network, integer_seed(*key, "look"))
        chosen = choose(self.strategy, points, budget, rng)
        if not self.strategy.reselects:
            self._kept = chosen
        return chosen

    def _points(self, network: nn.Module, seed: int) -> Points:
        def seen(part: Tensors, values: torch.Tensor | None = None) -> Points:
            labels = part[1].argmax(dim=1)
            return Points(
                labels,
                lambda: look(network, *part, self.strategy, self.how, seed),
                self.how,
                lambda: seen(self.validation),
                values,
            )

        return seen(self.train, self.values)


def choose(strategy: SelectionStrategy, points: Points, budget: int, rng: np.random.Generator) -> Chosen:
    """Let a strategy choose among all points, or among those of each class, and fill what is left at random.

    Parameters
    ----------
    strategy : SelectionStrategy
    points : Points
    budget : int
    rng : numpy.random.Generator

    Returns
    -------
    Chosen
        Exactly ``budget`` points.

    Raises
    ------
    ValueError
        If the strategy returns something else than the contract says.
    """
    n = len(points)
    if not strategy.per_class:
        indices, weights = _checked(strategy.choose(points, budget, rng), n, budget)
        return _completed(indices, weights, n, budget, rng)
    labels = points.labels.cpu().numpy()
    classes, counts = np.unique(labels, return_counts=True)
    parts = []
    for label, share in zip(classes, class_budgets(counts, budget), strict=True):
        if share:
            members = np.flatnonzero(labels == label)
            rows, weights = _checked(strategy.choose(points.at(members), int(share), rng), len(members), int(share))
            parts.append((members[rows], weights))
    indices, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _completed(indices, weights, n, budget, rng)


def class_budgets(counts: np.ndarray, budget: int) -> np.ndarray:
    """Divide a budget among classes in proportion to their points, rounded down, and at least one where it suffices.

    Parameters
    ----------
    counts : numpy.ndarray of int, shape (classes,)
        Points of each class, at least 1.
    budget : int

    Returns
    -------
    numpy.ndarray of int, shape (classes,)
        They sum to the budget or to a little less.
    """
    shares: np.ndarray = np.maximum(budget * counts // counts.sum(), 1)
    while shares.sum() > budget:
        shares[np.argmax(shares)] -= 1
    return shares


def _completed(indices: np.ndarray, weights: np.ndarray, n: int, budget: int, rng: np.random.Generator) -> Chosen:
    """Fill a choice up to its budget with random points of weight 1, and sort it."""
    others = np.setdiff1d(np.arange(n), indices)
    drawn = rng.permutation(others)[: budget - len(indices)]
    indices = np.concatenate([indices, drawn])
    weights = np.concatenate([weights, np.ones(len(drawn), dtype=np.float32)])
    order = np.argsort(indices)
    return Chosen(indices[order], weights[order])


def _checked(selected: tuple[Rows, Rows | None], n: int, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Convert what a strategy returned to arrays, and check it."""
    rows, weights = selected
    indices = np.asarray(rows.cpu() if isinstance(rows, torch.Tensor) else rows)
    if indices.ndim != 1 or (
        len(indices) and (indices.dtype.kind not in "iu" or not 0 <= indices.min() <= indices.max() < n)
    ):
        raise ValueError(f"the strategy must return row numbers from 0 to {n - 1}")
    if len(np.unique(indices)) < len(indices) or len(indices) > budget:
        raise ValueError(f"the strategy must return at most {budget} points, each once; it returned {len(indices)}")
    if weights is None:
        return indices.astype(np.int64), np.ones(len(indices), dtype=np.float32)
    given = np.asarray(weights.cpu() if isinstance(weights, torch.Tensor) else weights).astype(np.float32)
    if given.shape != indices.shape or not ((given >= 0) & (given <= HEAVIEST)).all():
        raise ValueError(f"the strategy must return one weight, from 0 to {HEAVIEST:g}, for each point")
    # As precise as they are recorded, so that the same model can be trained again.
    return indices.astype(np.int64), given.astype(np.float16).astype(np.float32)
