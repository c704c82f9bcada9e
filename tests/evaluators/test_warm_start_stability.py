"""Warm-start Shapley on flipped labels: sweeps never raise the loss, and rounding does not grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opendataval.metrics import accuracy
from other_processor import values_with_old_instructions
from sklearn.linear_model import LogisticRegression

from dvbench.problems.build import build_problem
from dvbench.randomness import random_state
from dvbench.settings import Noise, Sizes
from evaluators import WarmStartShapley
from evaluators.common.regressions import Regressions, _step_lengths

PLAYERS, PERMUTATIONS = 100, 64


def flipped():
    sizes = Sizes(train=PLAYERS, validation=100, test=10)
    return build_problem("breast_cancer", sizes, Noise(kind="labels", rate=0.2), 0)


def trained():
    problem = flipped()
    evaluator = WarmStartShapley(permutations=PERMUTATIONS, random_state=0).input_metric(accuracy)
    evaluator.input_data(problem.train.x, problem.train.y, problem.validation.x, problem.validation.y)
    return evaluator.train_data_values()


def values():
    return trained().data_values


def objective(models, size):
    x, y, w = models.x[:, :size].double(), models.y[:, :size].double().mT, models.weights.double()
    logits = torch.bmm(w, x.mT)
    losses = (logits.logsumexp(dim=1) - (logits * y).sum(dim=1)).sum(dim=1)
    return losses + (models.penalty * w.square()).sum(dim=(1, 2)) / 2


def test_no_sweep_raises_the_objective(monkeypatch):
    """With steps of length 1 and a floor of 0.04, 9 % of these sweeps raise it, by up to 9."""
    rises, sweep = [], Regressions.sweep

    def watched(models, size):
        before = objective(models, size)
        sweep(models, size)
        rises.append((objective(models, size) - before) / (1 + before))

    monkeypatch.setattr(Regressions, "sweep", watched)
    trained()
    rises = torch.stack(rises)
    assert rises.shape[1] == PERMUTATIONS
    assert rises.max() < 1e-6
    assert rises[: PLAYERS // 2].median() < -1e-4  # they do something


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_the_objective_falls_on_the_whole_way_of_a_step(scale):
    rng = torch.Generator().manual_seed(0)
    logits, changes = (scale * torch.randn(50, 4, 7, generator=rng, dtype=torch.float64) for _ in range(2))
    labels = torch.randint(4, (50, 7), generator=rng)

    def loss(length):
        moved = logits + length * changes
        return torch.nn.functional.cross_entropy(moved, labels, reduction="none").sum(dim=1)

    p = logits.softmax(dim=1)
    hit = torch.nn.functional.one_hot(labels, 4).mT
    slope = ((hit - p) * changes).sum(dim=(1, 2)).clamp(min=0)
    length = _step_lengths(p, changes, slope, torch.zeros(50, dtype=torch.float64))
    assert length.shape == (50, 1, 1)
    assert length.max() <= 1
    assert (length.flatten() > 0).equal(slope > 0)
    losses = torch.stack([loss(part * length) for part in np.linspace(0, 1, 21)])
    assert losses.diff(dim=0).max() <= 1e-9 * losses.max()


@pytest.mark.slow
def test_values_are_those_of_another_processor():
    """Rounding alone changes them by 9 % of their range, and 96 of 100, if sweeps can raise the objective."""
    here, elsewhere = values(), values_with_old_instructions("test_warm_start_stability")
    off = np.abs(here - elsewhere) / np.ptp(here)
    assert np.mean(off > 1e-5) <= 0.04  # players beside a prediction that is exactly on the edge
    assert off.max() < 0.01


def test_utilities_of_flipped_labels_are_near_those_of_converged_models(monkeypatch):
    """The root mean square error was 0.02 with steps that raise the objective."""
    problem, utilities = flipped(), WarmStartShapley._utilities
    kept = []
    monkeypatch.setattr(WarmStartShapley, "_utilities", lambda *args: kept.append(utilities(*args)) or kept[-1])
    trained()
    draws = random_state(0)
    permutations = np.stack([draws.permutation(PLAYERS) for _ in range(PERMUTATIONS)])
    x, y = problem.train.x.double().numpy(), problem.train.y.argmax(dim=1).numpy()
    truth, off = problem.validation.y.argmax(dim=1).numpy(), []
    for row, size in [(row, size) for row in range(0, PERMUTATIONS, 2) for size in (30, 60, 90)]:
        coalition = permutations[row, :size]
        model = LogisticRegression(C=2.0, solver="newton-cholesky", max_iter=500).fit(x[coalition], y[coalition])
        off.append(kept[0][row, size] - model.score(problem.validation.x.double().numpy(), truth))
    assert np.sqrt(np.mean(np.square(off))) < 0.006
