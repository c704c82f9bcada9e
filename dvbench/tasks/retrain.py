"""Trains a problem's model on some of its players and tests it; and the orders in which tasks take players."""

from __future__ import annotations

import numpy as np

from dvbench.models import build_model
from dvbench.problem import Problem
from dvbench.randomness import generator, integer_seed
from dvbench.settings import ModelSettings, Training


class Retraining:
    """Test performance of a model trained on a subset of the players. Each subset is trained once.

    Model and minibatches are seeded by (dataset, seed) alone, so that every evaluator is scored by the same models.

    Parameters
    ----------
    problem : Problem
    model : ModelSettings
    training : Training
    device : str
    """

    def __init__(self, problem: Problem, model: ModelSettings, training: Training, device: str = "cpu") -> None:
        self.problem = problem
        self.training = training
        self.model = build_model(
            model,
            problem.shape,
            problem.outputs,
            problem.kind,
            seed=integer_seed(problem.dataset, problem.seed, "scoring"),
            weight_decay=training.weight_decay,
            device=device,
        )
        self._known: dict[bytes, float] = {}

    def __call__(self, players: np.ndarray) -> float:
        """Test performance after training on these players.

        Parameters
        ----------
        players : numpy.ndarray of int, shape (k,)

        Returns
        -------
        float
            Accuracy, or negative mean squared error for regression.
        """
        players = np.sort(players)
        key = players.tobytes()
        if key not in self._known:
            train, test, how = self.problem.train, self.problem.test, self.training
            model = self.model.clone()
            model.fit(train.x[players], train.y[players], batch_size=how.batch_size, epochs=how.epochs, lr=how.lr)
            self._known[key] = self.problem.metric(test.y, model.predict(test.x).cpu())
        return self._known[key]


def steps(n: int) -> list[int]:
    """How many of n players are gone at 0, 5, ..., 95%; at least one always stays."""
    return [min(n - 1, round(step * n / 20)) for step in range(20)]


def ascending(problem: Problem, values: np.ndarray) -> np.ndarray:
    """Players from the lowest value to the highest; ties in a seeded random order.

    Returns
    -------
    numpy.ndarray of int, shape (n,)
    """
    ties = generator(problem.dataset, problem.seed, "ties").permutation(len(values))
    return np.lexsort((ties, values))


def random_order(problem: Problem) -> np.ndarray:
    """Players in the problem's seeded random order, the same for all evaluators.

    Returns
    -------
    numpy.ndarray of int, shape (n,)
    """
    return generator(problem.dataset, problem.seed, "random order").permutation(len(problem.train))
