"""What a task is: a function of a problem and data values, with its metadata beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch

from dvbench.errors import UserError
from dvbench.problems.problem import Problem
from dvbench.results.axes import check_axes


class Outputs(Protocol):
    """Logits of models: a tensor of shape (models, outputs, points), or what is taken apart like one."""

    def __len__(self) -> int:
        """Number of models."""

    def __getitem__(self, model: int, /) -> Any:
        """One model's, of which ``[:, part]`` are the logits (outputs, k) of points given by a mask or numbers."""


@dataclass(frozen=True)
class Points:
    """Points at which models are compared.

    Parameters
    ----------
    y : torch.Tensor
        Targets (points, outputs); or class numbers (points,), int64, where a point is a token of a text.
    owners : numpy.ndarray of int, shape (points,)
        Player that each belongs to; -1 for points of the test set.
    """

    y: torch.Tensor
    owners: np.ndarray


@dataclass(frozen=True)
class UnlearningOutputs:
    """What models say that have unlearned one player each, and those that they are to be compared with.

    Parameters
    ----------
    full, untrained : Outputs of one model
        Of the model trained on all players, and of the same one before training.
    unlearned, retrained : Outputs of as many models as players
        Of models that have unlearned a player, and of models trained on all others.
    training : dict of str to list of float
        ``train`` and ``test``: mean loss of the full model at the start of each epoch, and in the end.
    unlearning : dict of str to list of float
        ``step``, and mean loss over players after so many steps on their ``forget`` sets, ``retain`` sets and the
        ``test`` set.
    points : Points, optional
        By default those of the training set, and after them those of the test set.
    """

    full: Outputs
    untrained: Outputs
    unlearned: Outputs
    retrained: Outputs
    training: dict[str, list[float]] = field(default_factory=dict)
    unlearning: dict[str, list[float]] = field(default_factory=dict)
    points: Points | None = None


@dataclass(frozen=True)
class Valuation:
    """What an evaluator said about a problem's players.

    Parameters
    ----------
    values : numpy.ndarray of shape (n,)
        Data values; high means useful.
    repeat : numpy.ndarray of shape (n,), optional
        Values of the same evaluator on the same problem with other randomness.
    forgotten : callable, optional
        Makes the outputs of models that have unlearned each player, where the values come from an unlearning method.
    """

    values: np.ndarray
    repeat: np.ndarray | None = None
    forgotten: Callable[[], UnlearningOutputs] | None = None

    def outputs(self) -> UnlearningOutputs:
        """What models say that have unlearned each player.

        Raises
        ------
        ValueError
            If the values do not come from an unlearning method.
        """
        if self.forgotten is None:
            raise ValueError("these values come from no unlearning method, so there are no unlearned models to judge")
        return self.forgotten()


@dataclass(frozen=True)
class Outcome:
    """What a task returns.

    Parameters
    ----------
    metrics : dict of str to float
        The headline metric and others.
    curves : dict of str to list of float
    x : str or dict of str to str
        The x axis of the curves: one name for all, or a name for each curve. An x axis is another curve of the same
        length, such as ``"fraction"``, or what a curve has one number of: ``"player"``, ``"coalition"`` or ``"epoch"``.

    Raises
    ------
    ValueError
        If a curve has no x axis, or one that does not exist or has another length.
    """

    metrics: dict[str, float]
    curves: dict[str, list[float]] = field(default_factory=dict)
    x: str | Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_axes(self.axes, self.curves)
        names = {*self.axes, *self.axes.values()}
        if without := [name for name in self.curves if name not in names]:
            raise ValueError(f"the curve '{without[0]}' has no x axis: give Outcome an x, such as x=\"player\"")

    @property
    def axes(self) -> dict[str, str]:
        """The x axis of each curve; curves that are x axes have none."""
        if isinstance(self.x, str):
            return {name: self.x for name in self.curves if name != self.x}
        return dict(self.x)


class Retrain(Protocol):
    """Test performance of the problem's model trained on some of its players.

    Ask for all coalitions at once where you can: a task is run twice, the first time only up to its first question, and
    what all evaluators' tasks ask for there is trained together. Later questions are answered when they come.
    """

    def __call__(self, coalitions: Sequence[np.ndarray]) -> np.ndarray:
        """Train a model on each of ``coalitions``, arrays of player numbers, and test them: one number each."""


@dataclass(frozen=True)
class Task:
    """A task.

    Parameters
    ----------
    score : callable
        ``(problem, valuation, retrain) -> Outcome``.
    version : int
        Raised whenever a score would change.
    headline : str
        The metric that ranks evaluators.
    higher_is_better : bool
        Its direction.
    noise : {"labels", "features"}, optional
        The noise a problem must have for the task to make sense.
    repeats : bool
        Whether it needs a second valuation.
    judges_unlearning : bool
        Whether it judges an unlearning method by models that have unlearned each player.
    fewest, most : int
        Players that it takes.
    """

    score: Callable[[Problem, Valuation, Retrain], Outcome]
    version: int
    headline: str
    higher_is_better: bool
    noise: Literal["labels", "features"] | None = None
    repeats: bool = False
    judges_unlearning: bool = False
    fewest: int = 1
    most: int | None = None

    def __call__(self, problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
        """Score a valuation.

        Raises
        ------
        UserError
            If there are too few players, or too many.
        ValueError
            If a metric or a curve is not finite.
        """
        check_players(problem.players, self.fewest, self.most)
        outcome = self.score(problem, valuation, retrain)
        for numbers in (outcome.metrics, outcome.curves):
            for name, number in numbers.items():
                if not np.isfinite(np.asarray(number)).all():
                    raise ValueError(f"{name} is not finite")
        for name, axis in outcome.axes.items():
            length = len(outcome.curves[name])
            if axis == "player" and length != problem.players:
                raise ValueError(f"the curve '{name}' has {length} numbers for {problem.players} players")
        return outcome


def task(
    *,
    version: int,
    headline: str,
    higher_is_better: bool,
    noise: Literal["labels", "features"] | None = None,
    repeats: bool = False,
    judges_unlearning: bool = False,
    fewest: int = 1,
    most: int | None = None,
) -> Callable[[Callable[[Problem, Valuation, Retrain], Outcome]], Task]:
    """Make a `Task` of a function; see there for the parameters."""
    return lambda score: Task(
        score, version, headline, higher_is_better, noise, repeats, judges_unlearning, fewest, most
    )


def check_players(players: int, fewest: int, most: int | None) -> None:
    """Raise a `UserError` if there are fewer players than a task takes, or more."""
    if players < fewest:
        raise UserError(f"{players} players are too few: at least {fewest} are needed, or chance would rank them")
    if most is not None and players > most:
        raise UserError(f"{players} players are too many: at most {most}; make fewer groups")
