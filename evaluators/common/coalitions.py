"""Utilities of coalitions, for evaluators that fit one model to each of many sets of players.

A coalition is an array of player numbers. OpenDataVal's loops skip a coalition if ``not members.any()``, which tests
player numbers and not how many there are: it skips player 0 alone as well as the empty coalition. Here every coalition
has a utility; that of the empty one is the utility of the untrained model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Subset

from dvbench.errors import UserError
from dvbench.training.any_model import fit_to_points
from evaluators.common.joint_training import train_jointly

CONFIDENCE = 0.99  # with which all players have a value at the number of models that an error message names


def fitted_clone(evaluator: Any, members: Any, *args: Any, **kwargs: Any) -> Any:
    """Fit a clone of the evaluator's model to a coalition.

    Parameters
    ----------
    evaluator : DataEvaluator
        With its data and its model.
    members : sequence or numpy.ndarray of int
        Player numbers.
    *args, **kwargs
        Arguments of the model's ``fit``.
    """
    x, y = (Subset(part, members) for part in (evaluator.x_train, evaluator.y_train))
    return fit_to_points(evaluator.pred_model.clone(), x, y, *args, **kwargs)


def coalition_utility(evaluator: Any, members: Any, *args: Any, **kwargs: Any) -> float:
    """Utility of one coalition: the evaluator's metric on the validation set of its `fitted_clone`."""
    model = fitted_clone(evaluator, members, *args, **kwargs)
    return float(evaluator.evaluate(evaluator.y_valid, model.predict(evaluator.x_valid)))


def coalition_utilities(evaluator: Any, coalitions: Sequence[np.ndarray], *args: Any, **kwargs: Any) -> np.ndarray:
    """Utilities of coalitions, see `coalition_utility`. Models of dvbench are trained jointly.

    Parameters
    ----------
    evaluator : DataEvaluator
    coalitions : sequence of numpy.ndarray of int
    *args, **kwargs
        Arguments of the model's ``fit``.

    Returns
    -------
    numpy.ndarray of shape (len(coalitions),)
    """
    return train_jointly(
        evaluator,
        lambda: np.array([coalition_utility(evaluator, members, *args, **kwargs) for members in coalitions]),
    )


def coalitions_of(inclusion: np.ndarray) -> list[np.ndarray]:
    """Coalitions of a bool array of shape (k, n). Members are sorted, so that a utility is a function of the set."""
    return [np.flatnonzero(row) for row in inclusion]


def every_inclusion(n: int) -> np.ndarray:
    """All coalitions of n players: bool of shape (2**n, n)."""
    return (np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1).astype(bool)


def sums_without_and_with(inclusion: np.ndarray, utilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the utilities of coalitions without each player, and of those with the player.

    Parameters
    ----------
    inclusion : numpy.ndarray of bool, shape (k, n)
    utilities : numpy.ndarray of shape (k,)

    Returns
    -------
    sums, counts : numpy.ndarray of shape (n, 2)
        Column 0: coalitions without the player; column 1: coalitions with the player.
    """
    sides = (~inclusion, inclusion)
    sums = np.stack([np.where(side, utilities[:, np.newaxis], 0.0).sum(axis=0) for side in sides], axis=1)
    return sums, np.stack([side.sum(axis=0) for side in sides], axis=1).astype(float)


def models_needed(players: int, *chances: float) -> int:
    """Smallest number of models with which all players have a value with probability `CONFIDENCE`.

    Parameters
    ----------
    players : int
    *chances : float
        Probabilities, below 1, of the events of which each would leave a player without a value if it happened for
        every model. The sum over players and events bounds the probability that any player has no value.
    """
    largest, allowed = max(chances), 1 - CONFIDENCE
    models = max(1, math.ceil(math.log(allowed / players) / math.log(largest))) if largest > 0 else 1
    while players * sum(chance**models for chance in chances) > allowed:
        models += 1
    return models


def require_in_and_out(evaluator: str, inclusion: np.ndarray, needed: int) -> None:
    """Raise a `UserError` if a player is in all or in none of the coalitions: no difference defines its value.

    Parameters
    ----------
    evaluator : str
        Name for the message.
    inclusion : numpy.ndarray of bool, shape (k, n)
    needed : int
        The evaluator's parameter ``models`` with which this is unlikely, see `models_needed`.
    """
    lacking = np.flatnonzero(inclusion.all(axis=0) | ~inclusion.any(axis=0))
    if len(lacking):
        raise few_models(evaluator, lacking, inclusion, "in all or in none", needed)


def few_models(evaluator: str, lacking: np.ndarray, drawn: np.ndarray, where: str, needed: int) -> UserError:
    """Error for players that have no value because too few models are fitted."""
    models, players = drawn.shape
    return UserError(
        f"{evaluator} has no value for {len(lacking)} of {players} players, which are {where} of the {models} sets of "
        f"players that were drawn (the first is player {lacking[0]}); set models to {needed} or more, with which all "
        f"players have a value with a probability of {CONFIDENCE}"
    )
