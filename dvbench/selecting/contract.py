"""The contract of selection strategies: which points is a model trained on, if it is trained on few?

A strategy is a frozen dataclass derived from `SelectionStrategy`, in a file of ``dvbench/selection`` that has its name,
or in a package that the entry-point group ``dvbench.selection`` names. It is given `Points`, a budget and a generator,
and returns row numbers and weights. A strategy that ranks points derives from `ValueStrategy` and only values them::

    from dataclasses import dataclass

    from dvbench.selecting.contract import Points, ValueStrategy


    @dataclass(frozen=True)
    class LargeGradients(ValueStrategy):
        '''Large gradients: keep the points with the largest gradients.'''

        def values(self, points: Points) -> torch.Tensor:
            return points.gradients.squared_norms()

Everything else is done for it: `dvbench.training.selective` trains and asks again every few epochs,
`dvbench.selecting.choosing` divides the budget among classes and fills what is left at random.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from dvbench.selecting.gradients import Gradients, Rows
from dvbench.settings import SelectionSettings

Selected = tuple[Rows, Rows | None]
"""Row numbers, each at most once and at most as many as the budget; and their weights, None if all are 1."""


@dataclass(frozen=True)
class Look:
    """What one pass of the present model over points shows.

    Parameters
    ----------
    gradients : Gradients
        Of each point's loss with respect to the last layer.
    losses : torch.Tensor of shape (n,)
    logits : torch.Tensor of shape (n, C)
    """

    gradients: Gradients
    losses: torch.Tensor
    logits: torch.Tensor

    def at(self, rows: torch.Tensor) -> Look:
        """Return what is seen of some points."""
        return Look(self.gradients.at(rows), self.losses[rows], self.logits[rows])


class Points:
    """The points among which a strategy chooses. The model looks at them when a strategy first asks for what it shows.

    Parameters
    ----------
    labels : torch.Tensor of int64, shape (n,)
    look : callable
        Returns the `Look` at these points.
    how : SelectionSettings
        How the model is trained, such as the batch size.
    validation : callable, optional
        Returns the points of the validation set.
    values : torch.Tensor of float64, shape (n,), optional
        Values that an evaluator computed before training, if the strategy asks for them by
        `SelectionStrategy.valued_by`.
    """

    def __init__(
        self,
        labels: torch.Tensor,
        look: Callable[[], Look],
        how: SelectionSettings,
        validation: Callable[[], Points] | None = None,
        values: torch.Tensor | None = None,
    ) -> None:
        self.labels, self.how, self.values = labels, how, values
        self._compute, self._validation = look, validation

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def _look(self) -> Look:
        return self._compute()

    @property
    def gradients(self) -> Gradients:
        """Gradient of each point's loss with respect to the last layer."""
        return self._look.gradients

    @property
    def losses(self) -> torch.Tensor:
        """Loss of each point, (n,)."""
        return self._look.losses

    @property
    def logits(self) -> torch.Tensor:
        """Logits of each point, (n, C)."""
        return self._look.logits

    @cached_property
    def validation(self) -> Points:
        """The points of the validation set."""
        if self._validation is None:
            raise ValueError("there is no validation set")
        return self._validation()

    def at(self, rows: Rows) -> Points:
        """Return some of the points, such as those of a class."""
        rows = torch.as_tensor(rows, device=self.labels.device)
        values = None if self.values is None else self.values[rows]
        return Points(self.labels[rows], lambda: self._look.at(rows), self.how, lambda: self.validation, values)


@dataclass(frozen=True)
class SelectionStrategy(ABC):
    """Base class of selection strategies.

    Parameters
    ----------
    per_class : bool
        Whether points are chosen class by class, each with its share of the budget.
    layer : {"full", "bias"}
        Whether gradients are with respect to weights and bias of the last layer, or to its bias alone.
    batch_norm : {"training", "evaluation"}
        Whether batch normalisation uses the statistics of each batch when the model looks at points (of one class if
        points are chosen class by class), or its running statistics.
    augmented : bool
        Whether the model looks at points with the augmentation of training.
    at_start : bool
        Whether points are chosen by the untrained model before the first epoch; otherwise the first ones are random.
    """

    per_class: bool = False
    layer: Literal["full", "bias"] = "full"
    batch_norm: Literal["training", "evaluation"] = "training"
    augmented: bool = True
    at_start: bool = True

    reselects: ClassVar[bool] = True  # False: the first choice is kept
    keeps_all: ClassVar[bool] = False  # True: all points are kept, whatever the budget

    def __post_init__(self) -> None:
        for name, allowed in (("layer", ("full", "bias")), ("batch_norm", ("training", "evaluation"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is '{allowed[0]}' or '{allowed[1]}', not {getattr(self, name)!r}")
        for name in ("per_class", "augmented", "at_start"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is true or false, not {getattr(self, name)!r}")

    @property
    def valued_by(self) -> tuple[str, Mapping[str, Any]] | None:
        """Name and parameters of an evaluator whose values of all points the strategy needs before training."""
        return None

    @abstractmethod
    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose points.

        Parameters
        ----------
        points : Points
            All points, or those of one class with ``per_class``.
        budget : int
            How many points to choose, at least 1 and at most as many as there are. If fewer are returned, the others
            are drawn at random and have the weight 1.
        rng : numpy.random.Generator

        Returns
        -------
        rows, weights
            See `Selected`.
        """


@dataclass(frozen=True)
class ValueStrategy(SelectionStrategy):
    """Base class of strategies that value points and keep those of the highest values.

    Parameters
    ----------
    weights : {"one", "normalised"}
        Whether all chosen points have the weight 1, or their values, scaled to lie between 0 and 1.
    """

    weights: Literal["one", "normalised"] = "one"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights not in ("one", "normalised"):
            raise ValueError(f"weights is 'one' or 'normalised', not {self.weights!r}")

    @abstractmethod
    def values(self, points: Points) -> torch.Tensor:
        """Value of each point, (n,); a higher value means a more useful point."""

    def choose(self, points: Points, budget: int, rng: np.random.Generator) -> Selected:
        """Choose the points of the highest values, of equal ones those that come first."""
        values = self.values(points).double()
        rows = values.argsort(descending=True, stable=True)[:budget]
        if self.weights == "one":
            return rows, None
        kept = values[rows]
        low, high = kept.min(), kept.max()
        return rows, torch.ones_like(kept) if low == high else (kept - low) / (high - low)
