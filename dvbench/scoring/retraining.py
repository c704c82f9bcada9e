"""Trains a problem's model on some of its players and tests it; and the orders in which tasks take players."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dvbench.problems.problem import Problem, Split
from dvbench.randomness import generator, integer_seed
from dvbench.settings import ModelSettings, Training
from dvbench.training.build import build_model
from dvbench.training.utilities import model_utilities


class Retraining:
    """Test performance of models trained on subsets of the players. Each subset is trained once.

    Model and minibatches are seeded by (dataset, seed) alone, so that every evaluator is scored by the same models.

    Parameters
    ----------
    problem : Problem
    model : ModelSettings
    training : Training
    device : str

    Attributes
    ----------
    model : TensorModel
        Untrained.
    train, test : Split
        On the device.
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
            precision=training.precision,
            device=device,
        )
        # A language model fetches texts as it goes.
        place = "cpu" if problem.kind == "language" else device
        self.train, self.test = (Split(part.x.to(place), part.y.to(place)) for part in (problem.train, problem.test))
        self._known: dict[bytes, float] = {}

    def __call__(self, coalitions: Sequence[np.ndarray]) -> np.ndarray:
        """Test performance after training on each coalition; those that are not known yet are trained together.

        Parameters
        ----------
        coalitions : sequence of numpy.ndarray of int, each (k,)

        Returns
        -------
        numpy.ndarray of shape (coalitions,)
            Accuracy, or negative mean squared error for regression.

        Raises
        ------
        FloatingPointError
            If training diverged. What was trained before stays known.
        """
        # In the order of the data set: the order in which a task names its players decides no minibatch.
        asked = [np.sort(np.asarray(players, dtype=np.int64)) for players in coalitions]
        keys = [players.tobytes() for players in asked]
        self._learn({key: players for key, players in zip(keys, asked, strict=True) if key not in self._known})
        return np.array([self._known[key] for key in keys])

    def _learn(self, unknown: dict[bytes, np.ndarray]) -> None:
        keys, how = list(unknown), self.training
        trained = self.model.fit_many(
            self.train.x,
            self.train.y,
            [self.problem.points_of(players) for players in unknown.values()],
            batch_size=how.batch_size,
            epochs=how.epochs,
            lr=how.lr,
        )
        for numbers, stack in trained:
            found = model_utilities(self.problem.metric, self.test.y, stack.all_outputs(self.test.x))
            self._known.update(zip((keys[number] for number in numbers), found.tolist(), strict=True))


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
    return generator(problem.dataset, problem.seed, "random order").permutation(problem.players)
