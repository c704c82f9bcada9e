"""What models put out, as tasks compare it: piece by piece, and in utilities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from dvbench.problems.perplexity import perplexity
from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outputs, Points, UnlearningOutputs
from dvbench.training.losses import point_losses
from dvbench.training.utilities import model_utilities

AT_ONCE = 2**25  # logits of one model that are looked at together


def judged_points(problem: Problem, found: UnlearningOutputs) -> Points:
    """The points at which models are compared: those that were kept, or all of the training and the test set."""
    if found.points is not None:
        return found.points
    owners = np.arange(problem.players) if problem.groups is None else problem.groups
    y = torch.cat([problem.train.y, problem.test.y])
    return Points(y, np.concatenate([owners, np.full(len(problem.test), -1)]))


def pieces(problem: Problem, part: np.ndarray) -> Iterator[torch.Tensor]:
    """Numbers of the points of a mask, as many at once as may be looked at together; int64 of shape (k,)."""
    yield from torch.from_numpy(np.flatnonzero(part)).split(max(1, AT_ONCE // problem.outputs))


def outputs_of_player(outputs: Outputs, player: int) -> Any:
    """A player's model, or the one that stands for all."""
    return outputs[player if len(outputs) > 1 else 0]


def performance(problem: Problem, points: Points, outputs: Any, part: np.ndarray) -> float:
    """Performance of one model, as in `Outputs`, on the points of a mask.

    Raises
    ------
    FloatingPointError
        If a logit or the performance is NaN or infinite.
    """
    if points.y.ndim > 1:
        where = torch.from_numpy(part)
        return float(model_utilities(problem.metric, points.y[where], outputs[:, where].unsqueeze(0))[0])
    losses = [point_losses(outputs[:, piece].T, points.y[piece]).double().sum() for piece in pieces(problem, part)]
    found = perplexity(float(sum(losses)) / part.sum())
    if not math.isfinite(found):
        raise FloatingPointError("a model diverged: its perplexity is NaN or infinite; lower the learning rate")
    return -found
