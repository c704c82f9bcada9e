"""The models by which an unlearning method is judged: the full one, unlearned ones and retrained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch

from dvbench.errors import UserError
from dvbench.problems.problem import Problem
from dvbench.randomness import generator, integer_seed
from dvbench.scoring.contract import UnlearningOutputs
from dvbench.scoring.retraining import Retraining
from dvbench.training.contract import OutputFunction
from dvbench.training.losses import model_losses
from dvbench.training.stacks import stack
from dvbench.training.tensor_model import TensorModel
from dvbench.training.utilities import model_utilities
from dvbench.unlearning.contract import UnlearningMethod
from dvbench.unlearning.engine import Unlearner
from dvbench.unlearning.stacked_engine import StackedUnlearner

MOST = 100  # players, whose models' outputs on all points are held in memory
WATCHED = 1000  # points of the training set and of the test set whose losses are followed
WATCHED_STEPS = 10  # times at which they are looked at, after the start


class UnlearningExperiment:
    """Unlearns every player of a problem from one full model, by any method, and retrains without each.

    Model and minibatches are those of `Retraining`: the full model is the one trained on all players.

    Parameters
    ----------
    retraining : Retraining

    Raises
    ------
    UserError
        If there are more than 100 players.
    """

    def __init__(self, retraining: Retraining) -> None:
        self.problem = retraining.problem
        if self.problem.players > MOST:
            raise UserError(
                f"{self.problem.players} players are too many to judge unlearning by: at most {MOST}; give the problem "
                "groups, such as { by = 'classes' }"
            )
        self._retraining = retraining
        self._coalitions = [self.problem.points_of(np.array([player])) for player in range(self.problem.players)]

    @cached_property
    def full(self) -> TensorModel:
        """The model trained on all players."""
        return self.train()

    def train(self, on_epoch: Callable[[TensorModel], None] | None = None) -> TensorModel:
        """Train the full model once more; ``on_epoch`` is called with it at the start of each epoch."""
        how, train = self._retraining.training, self._retraining.train
        model = self._retraining.model.clone()
        return model.fit(
            train.x,
            train.y,
            batch_size=how.batch_size,
            epochs=how.epochs,
            lr=how.lr,
            on_epoch=None if on_epoch is None else lambda: on_epoch(model),
        )

    def unlearner(self, method: UnlearningMethod) -> Unlearner:
        """The engine that unlearns players' points from the full model."""
        train, validation = self._retraining.train, self.problem.validation
        return StackedUnlearner(self.full, train.x, train.y, validation.x, validation.y, method)

    def utilities_lost(self, unlearner: Unlearner, purpose: str = "valuation") -> np.ndarray:
        """Performance on the validation set that unlearning each player costs, (players,)."""
        y, metric = self.problem.validation.y, self.problem.metric
        (full,) = model_utilities(metric, y, unlearner.outputs_full.unsqueeze(0))
        lost = np.empty(len(self._coalitions))
        for numbers, logits in unlearner.outputs_without(self._coalitions, self._seed(purpose)):
            lost[numbers] = full - model_utilities(metric, y, logits)
        return lost

    def outputs(self, method: UnlearningMethod) -> UnlearningOutputs:
        """What all models say about training and test points.

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
        network, points = self.full.network.eval(), self._points
        losses = _LossesOnTheWay(self.problem, self._coalitions, method.steps)
        unlearned = self.unlearner(method).outputs_without(
            self._coalitions, self._seed("valuation"), points, losses.watch
        )
        return UnlearningOutputs(
            full=stack(network, 1).all_outputs(points).cpu(),
            untrained=stack(self._retraining.model.network.eval(), 1).all_outputs(points).cpu(),
            unlearned=torch.cat([logits.cpu() for _, logits in unlearned]),
            retrained=self._retrained,
            training=self._training_losses,
            unlearning=losses.means(),
        )

    @cached_property
    def _points(self) -> torch.Tensor:
        return torch.cat([self._retraining.train.x, self._retraining.test.x])

    @cached_property
    def _retrained(self) -> torch.Tensor:
        """Logits of models trained on all players but one, (players, outputs, points)."""
        how, train = self._retraining.training, self._retraining.train
        others = [np.setdiff1d(np.arange(len(train)), points) for points in self._coalitions]
        found: list[torch.Tensor] = [torch.empty(0)] * len(others)
        for numbers, copies in self._retraining.model.fit_many(
            train.x, train.y, others, batch_size=how.batch_size, epochs=how.epochs, lr=how.lr
        ):
            for number, logits in zip(numbers, copies.all_outputs(self._points).cpu(), strict=True):
                found[number] = logits
        return torch.stack(found)

    @cached_property
    def _training_losses(self) -> dict[str, list[float]]:
        parts = {"train": self._retraining.train, "test": self._retraining.test}
        seen: dict[str, list[float]] = {name: [] for name in parts}

        def look(model: TensorModel) -> None:
            network = model.network.eval()
            for name, part in parts.items():
                logits = stack(network, 1).all_outputs(part.x[:WATCHED])
                seen[name].append(model_losses(logits, part.y[:WATCHED]).mean().item())

        look(self.train(look))
        return seen

    def _seed(self, purpose: str) -> int:
        return integer_seed(self.problem.dataset, self.problem.seed, "unlearning", purpose)


class _LossesOnTheWay:
    """Mean losses while players are being unlearned: on some points of each player, and on some of the test set."""

    def __init__(self, problem: Problem, coalitions: Sequence[np.ndarray], steps: int) -> None:
        rng = generator(problem.dataset, problem.seed, "watched")
        few = [rng.permutation(points)[: max(1, WATCHED // len(coalitions))] for points in coalitions]
        self._owners = np.repeat(np.arange(len(few)), [len(points) for points in few])
        test = rng.permutation(len(problem.test))[:WATCHED]
        parts = ((problem.train, np.concatenate(few)), (problem.test, test))
        self._x, self._y = (
            torch.cat([getattr(part, name)[torch.from_numpy(rows)] for part, rows in parts]) for name in ("x", "y")
        )
        self._marks = sorted({round(steps * mark / WATCHED_STEPS) for mark in range(WATCHED_STEPS + 1)})
        self._seen: dict[tuple[int, int], list[float]] = {}

    def watch(self, numbers: np.ndarray, step: int, logits: OutputFunction) -> None:
        """Look at models that have taken so many steps to unlearn the players of these numbers."""
        if step not in self._marks:
            return
        n = len(self._owners)
        for player, losses in zip(numbers, model_losses(logits(self._x), self._y).cpu().numpy(), strict=True):
            own = self._owners == player
            self._seen[step, player] = [part.mean() for part in (losses[:n][own], losses[:n][~own], losses[n:])]

    def means(self) -> dict[str, list[float]]:
        """Mean over players, by steps."""
        players = range(self._owners.max() + 1)
        table = np.array([[self._seen[step, player] for player in players] for step in self._marks]).mean(axis=1)
        columns = dict(zip(("forget", "retain", "test"), table.T.tolist(), strict=True))
        return {"step": [float(step) for step in self._marks], **columns}
