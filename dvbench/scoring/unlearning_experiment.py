"""The base of experiments that compare unlearning methods with retraining.

`dvbench.scoring.build.make_unlearning_experiment` makes one: for models of points or for language models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from dvbench.errors import UserError
from dvbench.games import all_coalitions
from dvbench.randomness import integer_seed
from dvbench.scoring.outputs import CoalitionUtilities, UnlearningOutputs
from dvbench.scoring.retraining import Retraining
from dvbench.training.tensor_model import TensorModel
from dvbench.training.utilities import model_utilities
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.factory import make_unlearner

MAX_PLAYERS = 100  # outputs of one model a player, on all points, are held in memory
INTERVALS = 10  # losses are measured at the start of unlearning and after each of these equal intervals


class UnlearningExperiment(ABC):
    """Trains a full model on all players, unlearns each player from it by any method, and retrains without each.

    Model and minibatches are those of `Retraining`.

    Parameters
    ----------
    retraining : Retraining

    Attributes
    ----------
    problem : Problem
    full : TensorModel
        The model trained on all players, when it is first asked for.

    Raises
    ------
    UserError
        If there are more than 100 players.
    """

    def __init__(self, retraining: Retraining) -> None:
        self.problem = retraining.problem
        if self.problem.players > MAX_PLAYERS:
            raise UserError(
                f"{self.problem.players} players are too many to judge unlearning by: at most {MAX_PLAYERS}; give the "
                "problem groups, such as { by = 'classes' }"
            )
        self._retraining = retraining
        self._coalitions = [self.problem.points_of(np.array([player])) for player in range(self.problem.players)]
        self._fit_settings = retraining.training.fit

    @property
    @abstractmethod
    def full(self) -> TensorModel:
        """The model trained on all players."""

    @abstractmethod
    def outputs(self, method: UnlearningMethod) -> UnlearningOutputs:
        """Outputs of the models that have unlearned each player, and of the models that they are compared with.

        Parameters
        ----------
        method : UnlearningMethod

        Returns
        -------
        UnlearningOutputs

        Raises
        ------
        FloatingPointError
            If training or unlearning diverged.
        """

    def coalition_utilities(self, method: UnlearningMethod) -> CoalitionUtilities:
        """Utilities on the validation set of models without each coalition, unlearned and retrained.

        Parameters
        ----------
        method : UnlearningMethod

        Returns
        -------
        CoalitionUtilities

        Raises
        ------
        FloatingPointError
            If training or unlearning diverged.
        """
        y, unlearned = self.problem.validation.y, np.empty(2**self.problem.players)
        without = self.unlearner(method).outputs_without(self._points_of_all, self._seed("valuation"))
        for numbers, outputs in without:
            unlearned[numbers] = model_utilities(self.problem.metric, y, outputs)
        return CoalitionUtilities(unlearned, self._retrained_utilities)

    @cached_property
    def _points_of_all(self) -> list[np.ndarray]:
        """Numbers of the points of every coalition of players."""
        return [self.problem.points_of(players) for players in all_coalitions(self.problem.players)]

    @cached_property
    def _retrained_utilities(self) -> np.ndarray:
        """Utilities on the validation set of models trained without each coalition."""
        train, validation = self._retraining.train, self.problem.validation
        everything, utilities = np.arange(len(train)), np.empty(len(self._points_of_all))
        complements = [np.setdiff1d(everything, points) for points in self._points_of_all]
        for numbers, models in self._retraining.model.fit_many(train.x, train.y, complements, **self._fit_settings):
            outputs = models.all_outputs(validation.x.to(train.x.device))
            utilities[numbers] = model_utilities(self.problem.metric, validation.y, outputs)
        return utilities

    def unlearner(self, method: UnlearningMethod) -> Unlearner:
        """The engine that unlearns coalitions from the full model."""
        train, validation = self._retraining.train, self.problem.validation
        return make_unlearner(self.full, (train.x, train.y), (validation.x, validation.y), method)

    def utilities_lost(self, unlearner: Unlearner, purpose: str = "valuation") -> np.ndarray:
        """Utility on the validation set of the full model minus that of the model without each player.

        Parameters
        ----------
        unlearner : Unlearner
        purpose : str
            Part of the key of the minibatches' randomness.

        Returns
        -------
        numpy.ndarray of shape (players,)
        """
        y, metric = self.problem.validation.y, self.problem.metric
        (full,) = model_utilities(metric, y, unlearner.outputs_full.unsqueeze(0))
        lost = np.empty(len(self._coalitions))
        for numbers, outputs in unlearner.outputs_without(self._coalitions, self._seed(purpose)):
            lost[numbers] = full - model_utilities(metric, y, outputs)
        return lost

    @cached_property
    def _complements(self) -> list[np.ndarray]:
        """For each player, the numbers of all other players' points."""
        everything = np.arange(len(self._retraining.train))
        return [np.setdiff1d(everything, points) for points in self._coalitions]

    def _seed(self, purpose: str) -> int:
        return integer_seed(self.problem.dataset, self.problem.seed, "unlearning", purpose)


def measured_steps(steps: int) -> list[int]:
    """Numbers of unlearning steps after which losses are measured, in ascending order."""
    return sorted({round(steps * interval / INTERVALS) for interval in range(INTERVALS + 1)})


def mean_losses(measured: dict[tuple[int, int], list[float]], steps: list[int], players: int) -> dict[str, list[float]]:
    """Means over players of losses after numbers of steps.

    Parameters
    ----------
    measured : dict of (int, int) to list of float
        By steps and player: mean losses on the forget set, the retain set and the test set.
    steps : list of int
    players : int

    Returns
    -------
    dict of str to list of float
        See `UnlearningOutputs.unlearning`.
    """
    means = np.array([[measured[step, player] for player in range(players)] for step in steps]).mean(axis=1)
    columns = dict(zip(("forget", "retain", "test"), means.T.tolist(), strict=True))
    return {"step": [float(step) for step in steps], **columns}
