"""The models of points by which an unlearning method is judged: the full, the unlearned and the retrained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch

from dvbench.problems.problem import Problem
from dvbench.randomness import generator
from dvbench.scoring.outputs import UnlearningOutputs
from dvbench.scoring.unlearning_experiment import UnlearningExperiment, mean_losses, measured_steps
from dvbench.training.contract import OutputFunction
from dvbench.training.losses import model_losses
from dvbench.training.stacks import stack
from dvbench.training.tensor_model import TensorModel
from dvbench.unlearning.contract import UnlearningMethod

MONITORED = 1000  # points of the training set, and of the test set, whose losses are measured


class PointUnlearningExperiment(UnlearningExperiment):
    """The experiment for models of points; see `UnlearningExperiment`."""

    @cached_property
    def full(self) -> TensorModel:
        """The model trained on all players."""
        return self._train()

    def _train(self, on_epoch: Callable[[TensorModel], None] | None = None) -> TensorModel:
        """Train the full model; ``on_epoch`` is called with it at the start of each epoch."""
        model, train = self._retraining.model.clone(), self._retraining.train
        callback = None if on_epoch is None else lambda: on_epoch(model)
        return model.fit(train.x, train.y, **self._fit_settings, on_epoch=callback)

    def outputs(self, method: UnlearningMethod) -> UnlearningOutputs:
        """Outputs on all points of the training and the test set; see `UnlearningExperiment.outputs`."""
        network, points = self.full.network.eval(), self._points
        monitor = _LossMonitor(self.problem, self._coalitions, method.steps)
        unlearned = self.unlearner(method).outputs_without(
            self._coalitions, self._seed("valuation"), points, monitor.measure
        )
        return UnlearningOutputs(
            full=stack(network, 1).all_outputs(points).cpu(),
            untrained=stack(self._retraining.model.network.eval(), 1).all_outputs(points).cpu(),
            unlearned=torch.cat([outputs.cpu() for _, outputs in unlearned]),
            retrained=self._retrained,
            training=self._training_losses,
            unlearning=monitor.means(),
        )

    @cached_property
    def _points(self) -> torch.Tensor:
        return torch.cat([self._retraining.train.x, self._retraining.test.x])

    @cached_property
    def _retrained(self) -> torch.Tensor:
        """Outputs of models trained on all players but one, (players, outputs, points)."""
        train = self._retraining.train
        outputs: list[torch.Tensor] = [torch.empty(0)] * self.problem.players
        for numbers, models in self._retraining.model.fit_many(
            train.x, train.y, self._complements, **self._fit_settings
        ):
            for number, outputs_of_model in zip(numbers, models.all_outputs(self._points).cpu(), strict=True):
                outputs[number] = outputs_of_model
        return torch.stack(outputs)

    @cached_property
    def _training_losses(self) -> dict[str, list[float]]:
        """Mean losses at the start of each epoch and after the last, for which the full model is trained once more."""
        parts = {"train": self._retraining.train, "test": self._retraining.test}
        losses: dict[str, list[float]] = {name: [] for name in parts}

        def measure(model: TensorModel) -> None:
            network = model.network.eval()
            for name, part in parts.items():
                outputs = stack(network, 1).all_outputs(part.x[:MONITORED])
                losses[name].append(model_losses(outputs, part.y[:MONITORED]).mean().item())

        measure(self._train(measure))
        return losses


class _LossMonitor:
    """Measures losses while players are unlearned, on some points of each player and on some of the test set.

    Parameters
    ----------
    problem : Problem
    coalitions : sequence of numpy.ndarray of int
        Numbers of each player's points.
    steps : int
        How many the unlearning method takes.
    """

    def __init__(self, problem: Problem, coalitions: Sequence[np.ndarray], steps: int) -> None:
        rng = generator(problem.dataset, problem.seed, "watched")
        sampled = [rng.permutation(points)[: max(1, MONITORED // len(coalitions))] for points in coalitions]
        self._owners = np.repeat(np.arange(len(sampled)), [len(points) for points in sampled])
        test = rng.permutation(len(problem.test))[:MONITORED]
        parts = ((problem.train, np.concatenate(sampled)), (problem.test, test))
        self._x, self._y = (
            torch.cat([getattr(part, name)[torch.from_numpy(rows)] for part, rows in parts]) for name in ("x", "y")
        )
        self._steps = measured_steps(steps)
        self._measured: dict[tuple[int, int], list[float]] = {}

    def measure(self, players: np.ndarray, step: int, outputs: OutputFunction) -> None:
        """Measure losses of models that are unlearning these players, after this number of steps."""
        if step not in self._steps:
            return
        n = len(self._owners)
        for player, losses in zip(players, model_losses(outputs(self._x), self._y).cpu().numpy(), strict=True):
            forget = self._owners == player
            parts = (losses[:n][forget], losses[:n][~forget], losses[n:])
            self._measured[step, player] = [part.mean() for part in parts]

    def means(self) -> dict[str, list[float]]:
        """Means over players; see `UnlearningOutputs.unlearning`."""
        return mean_losses(self._measured, self._steps, int(self._owners.max()) + 1)
