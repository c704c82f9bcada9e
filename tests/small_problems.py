"""Problems small enough to score by hand, and a model whose utility is known for every coalition."""

from __future__ import annotations

import numpy as np
import torch

from dvbench.problems.problem import Problem, Split
from dvbench.settings import Noise


def a_problem(n=20, *, corrupted=None, seed=0, dataset="made", kind="classification", flip_test=False):
    """Problem with n players: two classes of two features, or real targets, split by a plane.

    ``flip_test`` exchanges the classes of the test set.
    """
    rng = np.random.default_rng(5)
    x = torch.from_numpy(rng.normal(size=(n + 100, 2))).float()
    score = x[:, :1] - 0.5 * x[:, 1:]
    y = score if kind == "regression" else torch.cat([score > 0, score <= 0], dim=1).float()
    corrupted = np.arange(n) < max(1, n // 5) if corrupted is None else np.asarray(corrupted)
    test_y = y[n + 50 :].flip(1) if flip_test else y[n + 50 :]
    return Problem(
        dataset=dataset,
        kind=kind,
        train=Split(x[:n], y[:n]),
        validation=Split(x[n : n + 50], y[n : n + 50]),
        test=Split(x[n + 50 :], test_y),
        rows=np.arange(n),
        corrupted=corrupted,
        noise=Noise(kind="labels", rate=0.2),
        seed=seed,
        revision="0",
        classes=() if kind == "regression" else ("above", "below"),
    )


class Worths:
    """Stands in for retraining: a coalition's utility is the sum of its players' worths over the number of players."""

    def __init__(self, worth):
        self.worth = np.asarray(worth, dtype=float)
        self.asked = []
        self.calls = 0

    def __call__(self, coalitions):
        assert all(len(set(players.tolist())) == len(players) for players in coalitions)
        self.asked += [frozenset(players.tolist()) for players in coalitions]
        self.calls += 1
        return np.array([self.worth[players].sum() / len(self.worth) for players in coalitions])


def never(coalitions):
    """Stand in for retraining where a task must not ask for any model."""
    raise AssertionError("this task trains nothing")


def scored(task, problem, valuation, retrain=never):
    """Outcome of a task, where ``retrain`` returns the utilities of the coalitions that the task asks for."""
    coalitions = task.wanted_coalitions(problem, valuation)
    return task(problem, valuation, retrain(coalitions) if coalitions else np.empty(0))
