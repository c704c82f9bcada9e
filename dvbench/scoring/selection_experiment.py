"""Trains a problem's model on points that were chosen, and tests it: how good is a choice?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import nn

from dvbench.errors import UserError
from dvbench.problems.problem import Problem
from dvbench.randomness import integer_seed
from dvbench.results import ArrayName
from dvbench.scoring.retraining import Retraining
from dvbench.selecting.factory import check_classes
from dvbench.selecting.record import unpacked
from dvbench.settings import SelectionSettings
from dvbench.training.selective import Choose, Chosen, Seconds, train_on_chosen
from dvbench.training.stacks import view_as_stack
from dvbench.training.utilities import model_utilities


@dataclass(frozen=True)
class SelectionOutputs:
    """Accuracy of models that were trained on chosen points, and of the model trained on all points.

    Parameters
    ----------
    fractions : numpy.ndarray of shape (F,)
    accuracy, best : numpy.ndarray of shape (F,)
        On the test set: at the end, and the best one of those after the epochs of each selection.
    full, full_best : float
        The same of the model trained on all points.
    mislabelled : numpy.ndarray of shape (F,)
        Share of corrupted points among the chosen ones, mean over selections.
    """

    fractions: np.ndarray
    accuracy: np.ndarray
    best: np.ndarray
    full: float
    full_best: float
    mislabelled: np.ndarray


class SelectionExperiment:
    """Trains the model of a problem on chosen points. Initial weights and minibatches are the same for all strategies.

    Parameters
    ----------
    retraining : Retraining
        Holds the problem, the untrained model and the data on the device.
    how : SelectionSettings

    Raises
    ------
    UserError
        If the problem is no classification, or its classes and fractions do not fit.
    """

    def __init__(self, retraining: Retraining, how: SelectionSettings) -> None:
        self.problem, self.how, self.retraining = retraining.problem, how, retraining
        check_problem(self.problem, how)

    def train(self, choose: Choose, after_each: Callable[[nn.Module], None] | None = None) -> Seconds:
        """Train a copy of the untrained model; see `dvbench.training.selective.train_on_chosen`."""
        train, seed = self.retraining.train, integer_seed(self.problem.dataset, self.problem.seed, "selection")
        network = self.retraining.model.clone().network
        return train_on_chosen(network, train.x, train.y, choose, self.how, seed, after_each)

    def outputs(self, arrays: Mapping[ArrayName, np.ndarray], keeps_all: bool = False) -> SelectionOutputs:
        """Train again on what was chosen, and test.

        Parameters
        ----------
        arrays : mapping
            The record of a cell, see `dvbench.selecting.record`.
        keeps_all : bool
            Whether the strategy keeps all points, whatever the fraction.

        Raises
        ------
        UserError
            If there is no such record, or more points were chosen than a fraction allows.
        FloatingPointError
            If training diverged.
        """
        choices = unpacked(arrays, self.problem.players, self.how, keeps_all)
        tested = np.array([self._full if self._is_all(one) else self._tested(one) for one in choices])
        corrupted = self.problem.corrupted
        full, full_best = self._full
        return SelectionOutputs(
            fractions=np.array(self.how.fractions),
            accuracy=tested[:, 0],
            best=tested[:, 1],
            full=full,
            full_best=full_best,
            mislabelled=np.array([np.mean([corrupted[each.indices].mean() for each in one]) for one in choices]),
        )

    @cached_property
    def _full(self) -> tuple[float, float]:
        n = self.problem.players
        return self._tested([Chosen(np.arange(n), np.ones(n, dtype=np.float32))])

    def _is_all(self, one: list[Chosen]) -> bool:
        return all(len(each.indices) == self.problem.players and (each.weights == 1).all() for each in one)

    def _tested(self, one: list[Chosen]) -> tuple[float, float]:
        """Test accuracy at the end and the best one, after training on the choice of each selection."""
        accuracies: list[float] = []

        def test(network: nn.Module) -> None:
            outputs = view_as_stack(network.eval()).all_outputs(self.retraining.test.x)
            accuracies.append(float(model_utilities(self.problem.metric, self.problem.test.y, outputs)[0]))

        self.train(lambda _, number: one[min(number, len(one) - 1)], test)
        return accuracies[-1], max(accuracies)


def check_problem(problem: Problem, how: SelectionSettings) -> None:
    """Raise a `UserError` if no points can be chosen from a problem."""
    if problem.kind != "classification":
        raise UserError("selection strategies choose points of classes, and this problem has none")
    if how.augmentation != "none" and len(problem.shape) != 3:
        raise UserError(
            f"crops and flips are of images, and these points have shape {problem.shape}: set no augmentation"
        )
    train, validation = (part.y.argmax(dim=1).numpy() for part in (problem.train, problem.validation))
    check_classes(train, validation, problem.classes, how.fractions[0])
