"""Makes selection strategies from their settings, and checks that they and a problem fit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dvbench.errors import UserError
from dvbench.registry import make
from dvbench.selecting.contract import SelectionStrategy
from dvbench.settings import SelectionSettings


def make_strategy(name: str, /, **settings: Any) -> SelectionStrategy:
    """Make a selection strategy from its name and the parameters of its constructor.

    Parameters
    ----------
    name : str
        A registered name, or ``module:Class``.
    **settings
        Parameters of its constructor.

    Raises
    ------
    UserError
        If there is no strategy of that name, or it does not take these parameters.
    """
    strategy: SelectionStrategy = make("selection", name, SelectionStrategy, settings)
    return strategy


def check_protocol(strategy: SelectionStrategy, how: SelectionSettings, name: str) -> None:
    """Raise a `UserError` if a strategy never chooses in a training of this length."""
    if not strategy.at_start and how.selections < 2:
        raise UserError(
            f"{name} first chooses after {how.every} epochs, and training has {how.epochs}: train longer, or set "
            "at_start"
        )


def budget_of(fraction: float, n: int) -> int:
    """Number of points that a fraction of n points is, rounded down; the tolerance is for fractions such as 0.29."""
    return int(fraction * n + 1e-6)


def check_classes(train: np.ndarray, validation: np.ndarray | None, classes: Sequence[str], smallest: float) -> None:
    """Check that points can be chosen from a training set.

    Parameters
    ----------
    train : numpy.ndarray of int, shape (n,)
        Class numbers of the training set.
    validation : numpy.ndarray of int, optional
        Those of the validation set.
    classes : sequence of str
        Names of all classes.
    smallest : float
        The smallest fraction that is kept.

    Raises
    ------
    UserError
        If there are fewer than two classes, the smallest budget is below their number, so that it leaves a class
        empty, or the validation set has classes that the training set lacks.
    """
    counts = np.bincount(train, minlength=len(classes))
    present = int((counts > 0).sum())
    if present < 2:
        (only,) = np.flatnonzero(counts)
        raise UserError(
            f"all {len(train)} rows have the class '{classes[int(only)]}': a choice needs at least two classes"
        )
    if (budget := budget_of(smallest, len(train))) < present:
        least = np.ceil(1000 * present / len(train)) / 1000
        raise UserError(
            f"fraction {smallest:g} keeps {budget} of {len(train)} rows and so leaves some of the {present} classes "
            f"empty: keep at least {least:g}"
        )
    others = [] if validation is None else sorted(set(np.unique(validation).tolist()) - set(np.flatnonzero(counts)))
    if others:
        raise UserError(
            f"the validation set has points of class '{classes[others[0]]}', of which there are none to train on: "
            "use a validation set of the same classes"
        )
