"""What differs between the two valuations that rank stability compares, and what is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from loose_scripts import made_up_cell

from dvbench.execution import unlearning_valuation, valuation
from dvbench.execution.valuation import valuate_cell
from dvbench.problems.build import build_problem
from dvbench.settings import Groups


@pytest.fixture
def seeds(monkeypatch):
    """What every valuation gave to the evaluator and to the model: the evaluator's seed, and the untrained model."""
    seen = []
    make, build = valuation.make_evaluator, valuation.build_model

    def seen_model(*arguments, **settings):
        seen.append([build(*arguments, **settings)])
        return seen[-1][0]

    def seen_evaluator(settings, seed):
        seen[-1].append(seed)
        return make(settings, seed)

    monkeypatch.setattr(valuation, "build_model", seen_model)
    monkeypatch.setattr(valuation, "make_evaluator", seen_evaluator)
    return seen


def test_the_evaluators_seed_the_initial_weights_and_the_minibatches_differ(seeds):
    cell = made_up_cell("random")
    problem = build_problem(cell.problem.dataset, cell.problem.sizes, cell.problem.noise, cell.key.seed)
    for purpose in ("valuation", "repeat"):
        valuate_cell(cell, problem, purpose=purpose)
    (model, seed), (repeated_model, repeated_seed) = seeds
    assert seed != repeated_seed
    assert model.seed != repeated_model.seed  # that of minibatches and dropout
    pairs = zip(model.network.parameters(), repeated_model.network.parameters(), strict=True)
    assert not any(torch.equal(*pair) for pair in pairs)


def test_an_unlearning_method_starts_from_the_same_full_model_with_other_minibatches(monkeypatch):
    experiments = []
    make = unlearning_valuation.make_unlearning_experiment

    def seen(retraining):
        experiments.append(make(retraining))
        return experiments[-1]

    monkeypatch.setattr(unlearning_valuation, "make_unlearning_experiment", seen)
    cell = made_up_cell("random")
    method = cell.evaluator.model_copy(
        update={"kind": "unlearning", "name": "gradient_ascent", "params": {"steps": 5, "lr": 0.05}}
    )
    groups = Groups(by="random", count=5)
    cell = cell.model_copy(update={"evaluator": method, "problem": cell.problem.model_copy(update={"groups": groups})})
    settings = cell.problem
    problem = build_problem(settings.dataset, settings.sizes, settings.noise, cell.key.seed, groups)
    for purpose in ("valuation", "repeat"):
        valuate_cell(cell, problem, purpose=purpose)
    first, repeated = experiments
    for parameter, other in zip(first.full.network.parameters(), repeated.full.network.parameters(), strict=True):
        np.testing.assert_array_equal(parameter.detach(), other.detach())
    assert first._seed("valuation") != first._seed("repeat")
