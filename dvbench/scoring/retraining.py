"""Trains a problem's model on coalitions of its players and tests each model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from dvbench.errors import UserError
from dvbench.problems.problem import Problem, Split
from dvbench.problems.variants import single_points
from dvbench.randomness import integer_seed
from dvbench.scoring.measures import POINTS, measured, measured_on_points
from dvbench.settings import ModelSettings, Training
from dvbench.training.build import build_model


class Retraining:
    """Test utilities of models trained on coalitions of players. Each coalition is trained once.

    Model and minibatches are seeded by (dataset, seed) alone, so that all evaluators are scored by the same models.

    Parameters
    ----------
    problem : Problem
    model : ModelSettings
    training : Training
    device : str
    training_seed : int
        Other initial weights and minibatches for each number; 0 are those that tasks score with.
    measures : sequence of str
        What is measured on each model besides the utility of the problem; see `dvbench.scoring.measures`.

    Attributes
    ----------
    model : TensorModel
        Untrained.
    train, test : Split
        On the device; those of a language model on the CPU.
    """

    def __init__(
        self,
        problem: Problem,
        model: ModelSettings,
        training: Training,
        device: str = "cpu",
        training_seed: int = 0,
        measures: Sequence[str] = (),
    ) -> None:
        self.problem = problem
        self.training = training
        self.device = device
        key = ("scoring", training_seed) if training_seed else ("scoring",)
        self.model = build_model(
            model,
            problem.shape,
            problem.outputs,
            problem.kind,
            seed=integer_seed(problem.dataset, problem.seed, *key),
            weight_decay=training.weight_decay,
            precision=training.precision,
            device=device,
        )
        # A language model copies each batch of texts to its device when it needs the batch.
        data_device = "cpu" if problem.kind == "language" else device
        self.train, self.test = (
            Split(part.x.to(data_device), part.y.to(data_device)) for part in (problem.train, problem.test)
        )
        self.measures = tuple(measures)
        self._measured = ("utility", *(name for name in measures if name not in ("utility", POINTS)))
        self._points: Split | None = None
        if POINTS in measures:
            with suppress(UserError):  # where there are too few, tasks that need them have failed and others have not
                rows, split = single_points(problem), problem.validation
                self._points = Split(split.x[rows].to(data_device), split.y[rows].to(data_device))
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, coalitions: Sequence[np.ndarray]) -> np.ndarray:
        """Test utility after training on each coalition; those not trained before are trained together.

        Parameters
        ----------
        coalitions : sequence of numpy.ndarray of int, each (k,)

        Returns
        -------
        numpy.ndarray of shape (coalitions,)
            Accuracy; negative mean squared error for regression; negative perplexity for language models.

        Raises
        ------
        FloatingPointError
            If training diverged. The utilities of coalitions that were trained before that are kept.
        """
        utilities: np.ndarray = self.measured(coalitions, ["utility"])[0]
        return utilities

    def measured(self, coalitions: Sequence[np.ndarray], measures: Sequence[str]) -> np.ndarray:
        """Measure models trained on each coalition, as `__call__` does.

        Returns
        -------
        numpy.ndarray of shape (measures, coalitions)
            The measure ``points`` has a row for each point.
        """
        # In the order of the data set, so that minibatches do not depend on the order in which a task names players.
        ordered = [np.sort(np.asarray(players, dtype=np.int64)) for players in coalitions]
        keys = [players.tobytes() for players in ordered]
        self._train({key: players for key, players in zip(keys, ordered, strict=True) if key not in self._known})
        columns = [column for name in measures for column in self._columns(name)]
        table: np.ndarray = np.array([[self._known[key][column] for key in keys] for column in columns])
        return table

    def _columns(self, measure: str) -> Sequence[int]:
        """Where a measure is among the numbers that are known of a coalition."""
        if measure == POINTS and self._points is not None:
            return range(len(self._measured), len(self._measured) + len(self._points))
        return (self._measured.index(measure),)

    def know(self, coalitions: Sequence[np.ndarray], utilities: np.ndarray) -> None:
        """Take over test utilities that were computed before; each coalition is sorted, and no measures are known."""
        keys = (players.astype(np.int64).tobytes() for players in coalitions)
        self._known.update(zip(keys, utilities[:, np.newaxis], strict=True))

    def _train(self, unknown: dict[bytes, np.ndarray]) -> None:
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
            outputs = stack.all_outputs(self.test.x)
            table = np.array([measured(name, self.problem, self.test.y, outputs) for name in self._measured])
            if self._points is not None:
                outputs = stack.all_outputs(self._points.x)
                table = np.concatenate([table, measured_on_points(self.problem, self._points.y, outputs)])
            self._known.update(zip((keys[number] for number in numbers), table.T, strict=True))
