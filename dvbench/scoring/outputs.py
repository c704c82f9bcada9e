"""Outputs of models that tasks compare: logits, or losses and utilities computed from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from dvbench.problems.perplexity import perplexity
from dvbench.problems.problem import Problem
from dvbench.training.losses import point_losses
from dvbench.training.utilities import model_utilities

LOGITS_PER_BATCH = 2**25  # logits of one model that are processed together


class Outputs(Protocol):
    """Logits of models: a tensor of shape (models, outputs, points), or an object that is indexed like one."""

    def __len__(self) -> int:
        """Number of models."""

    def __getitem__(self, model: int, /) -> Any:
        """Outputs of one model; ``[:, part]`` of them are logits (outputs, k) of points given by a mask or numbers."""


@dataclass(frozen=True)
class ComparedPoints:
    """Points at which models are compared.

    Parameters
    ----------
    y : torch.Tensor
        Targets (points, outputs); or class numbers (points,), int64, where a point is a token of a text.
    owners : numpy.ndarray of int, shape (points,)
        Player that each point belongs to; -1 for points of the test set.
    """

    y: torch.Tensor
    owners: np.ndarray


@dataclass(frozen=True)
class UnlearningOutputs:
    """Outputs of the models that have unlearned one player each, and of the models that they are compared with.

    Parameters
    ----------
    full, untrained : Outputs of one model
        Of the model trained on all players, and of the same model before training.
    unlearned, retrained : Outputs of as many models as players
        Of the models that have unlearned a player, and of the models trained on all other players.
    training : dict of str to list of float
        ``train`` and ``test``: mean losses of the full model at the start of each epoch, and after the last.
    unlearning : dict of str to list of float
        ``step``: numbers of unlearning steps; and mean losses over players after these steps on the ``forget`` sets,
        the ``retain`` sets and the ``test`` set.
    points : ComparedPoints, optional
        By default the points of the training set, followed by those of the test set.
    """

    full: Outputs
    untrained: Outputs
    unlearned: Outputs
    retrained: Outputs
    training: dict[str, list[float]] = field(default_factory=dict)
    unlearning: dict[str, list[float]] = field(default_factory=dict)
    points: ComparedPoints | None = None


@dataclass(frozen=True)
class CoalitionUtilities:
    """Utilities on the validation set of models without each coalition of players.

    Coalition ``m`` has the players whose bits are set in the number ``m``.

    Parameters
    ----------
    unlearned, retrained : numpy.ndarray of shape (2^players,)
        Of the full model after it has unlearned the coalition, and of a model trained on all other players. Without
        players there is an untrained model.
    """

    unlearned: np.ndarray
    retrained: np.ndarray


def compared_points(problem: Problem, outputs: UnlearningOutputs) -> ComparedPoints:
    """The points at which models are compared: those that the outputs name, or the training set and the test set."""
    if outputs.points is not None:
        return outputs.points
    owners = np.arange(problem.players) if problem.groups is None else problem.groups
    y = torch.cat([problem.train.y, problem.test.y])
    return ComparedPoints(y, np.concatenate([owners, np.full(len(problem.test), -1)]))


def point_batches(problem: Problem, mask: np.ndarray) -> Iterator[torch.Tensor]:
    """Numbers of the points that a mask selects, int64 of shape (k,), in batches that fit in memory."""
    yield from torch.split(torch.from_numpy(np.flatnonzero(mask)), max(1, LOGITS_PER_BATCH // problem.outputs))


def outputs_of_player(outputs: Outputs, player: int) -> Any:
    """Outputs of a player's model; where there is one model for all players, of that one."""
    return outputs[player if len(outputs) > 1 else 0]


def utility(problem: Problem, points: ComparedPoints, outputs: Any, mask: np.ndarray) -> float:
    """Utility of one model on some points: accuracy, negative mean squared error or negative perplexity.

    Parameters
    ----------
    problem : Problem
    points : ComparedPoints
    outputs : Any
        Of one model; see `Outputs`.
    mask : numpy.ndarray of bool, shape (points,)

    Raises
    ------
    FloatingPointError
        If a logit or the utility is NaN or infinite.
    """
    if points.y.ndim > 1:
        numbers = torch.from_numpy(mask)
        return float(model_utilities(problem.metric, points.y[numbers], outputs[:, numbers].unsqueeze(0))[0])
    losses = [
        point_losses(outputs[:, batch].T, points.y[batch]).double().sum() for batch in point_batches(problem, mask)
    ]
    value = perplexity(float(sum(losses)) / mask.sum())
    if not math.isfinite(value):
        raise FloatingPointError("a model diverged: its perplexity is NaN or infinite; lower the learning rate")
    return -value
