"""Games (utilities of one coalition) whose Shapley values are known, and brute force for those whose are not."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import torch
from opendataval.model import Model


def shapley_by_definition(utility, n):
    """Equation 1 of the Unlearning Shapley paper, term by term."""
    values = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for coalition in combinations(others, size):
                values[i] += weight * (utility([*coalition, i]) - utility(list(coalition)))
    return values


def many(utility):
    """Utilities of many coalitions, which is what estimators ask for."""
    return lambda coalitions: np.array([utility(coalition) for coalition in coalitions])


def additive_game(worth):
    """Each player adds its worth; so that is its value."""
    return lambda coalition: float(np.sum(np.asarray(worth)[np.asarray(coalition, dtype=int)]))


def majority_game(weights):
    """1 if a coalition has more than half of the votes."""
    weights = np.asarray(weights, dtype=float)
    return lambda coalition: float(weights[np.asarray(coalition, dtype=int)].sum() > weights.sum() / 2)


class GameModel(Model):
    """Predicts the utility of the players that it was fitted to; a player's only feature is its number.

    Parameters
    ----------
    game : callable
        Maps a sorted list of player numbers to a utility.
    """

    def __init__(self, game):
        self.game = game
        self.members = []

    def fit(self, x_train, y_train, *args, **kwargs):
        self.members = sorted({int(x_train[i][0]) for i in range(len(x_train))})
        return self

    def predict(self, x):
        return torch.full((len(x), 1), float(self.game(self.members)), dtype=torch.float64)


def play(evaluator, game, n):
    """Values of n players by an evaluator that is given a game in place of utilities of trained models."""
    x, y = torch.arange(n).double().unsqueeze(1), torch.zeros(n, 1)
    evaluator.input_data(x, y, x[:1], y[:1])
    evaluator.input_model_metric(GameModel(game), lambda target, predicted: predicted[0, 0].item())
    return evaluator.train_data_values().evaluate_data_values()
