"""Lets a selection strategy choose the points that models are trained on; its values are how often it chose each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dvbench.errors import UserError
from dvbench.execution.environment import watch_memory
from dvbench.execution.valuation_input import ValuationInput, make_input
from dvbench.execution.valuation_output import ValuationOutput
from dvbench.problems.problem import Problem
from dvbench.randomness import integer_seed, isolated_generators
from dvbench.results import Cell, Cost
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.selection_experiment import SelectionExperiment
from dvbench.selecting.choosing import Chooser
from dvbench.selecting.contract import SelectionStrategy
from dvbench.selecting.factory import check_protocol, make_strategy
from dvbench.selecting.record import Recorder, how_often, packed
from dvbench.settings import EvaluatorSettings
from dvbench.training.selective import Chosen

SHORTEST = 1e-9  # seconds that an epoch takes at least
Value = Callable[[ValuationInput, str], ValuationOutput]


def value_by_selection(cell: Cell, problem: Problem, device: str, purpose: str, value: Value) -> ValuationOutput:
    """Train a model for each fraction on the points that a strategy chooses, and record what it chose.

    Parameters
    ----------
    cell : Cell
        A cell with a selection strategy as its evaluator.
    problem : Problem
    device : str
    purpose : str
        Part of the key of the strategy's randomness.
    value : callable
        Values points by an evaluator on a device, for strategies that need that.

    Returns
    -------
    ValuationOutput
        Values: the share of selections in which a point was chosen. Diagnostics, for each fraction F: ``seconds_F`` of
        training with selection, ``selection_seconds_F``, and ``relative_seconds_F``, relative to training on all points
        on this machine, whose seconds are those of its first epoch, times the number of epochs.

    Raises
    ------
    UserError
        If there is no such strategy, or it does not fit the problem.
    FloatingPointError
        If training diverged.
    """
    how, name = cell.problem.selection, cell.evaluator.name
    if how is None:
        raise UserError("this problem does not say how models are trained on chosen points: give it selection = {...}")
    strategy = make_strategy(name, **cell.evaluator.params)
    check_protocol(strategy, how, name)
    experiment = SelectionExperiment(Retraining(problem, cell.problem.model, cell.problem.training, device), how)
    with watch_memory(device) as memory:
        valued = _valued(cell, problem, device, purpose, strategy, value)
        before = 0.0 if valued is None else valued.cost.seconds
        values = None if valued is None else torch.from_numpy(valued.arrays["values"]).to(device)
        choices, seconds = [], []
        with isolated_generators(integer_seed(problem.dataset, problem.seed, name, purpose)):
            trained = 1 if strategy.keeps_all else len(how.fractions)  # all points are the same at every fraction
            for fraction in how.fractions[:trained]:
                recorded = Recorder(_chooser(experiment, strategy, fraction, name, purpose, values))
                spent = experiment.train(recorded)
                choices.append(recorded.choices)
                seconds.append((spent.choosing + before, spent.training))
    choices += choices[-1:] * (len(how.fractions) - trained)
    seconds += seconds[-1:] * (len(how.fractions) - trained)
    diagnostics = _seconds_by_fraction(how.fractions, seconds, _seconds_of_all(experiment))
    often = how_often(choices, problem.players).astype(np.float16)  # shares of a few selections
    diagnostics["distinct_values"] = float(len(np.unique(often)))
    cost = Cost(
        seconds=sum(map(sum, seconds[:trained])) - before * (trained - 1),
        fits=trained + (0 if valued is None else valued.cost.fits),
        peak_memory=memory.peak,
        peak_cuda_memory=memory.peak_cuda,
    )
    return ValuationOutput({"values": often, **packed(choices, problem.players)}, cost, diagnostics)


def _seconds_by_fraction(
    fractions: Sequence[float], seconds: Sequence[tuple[float, float]], of_all: float
) -> dict[str, float]:
    """Diagnostics of time: for each fraction seconds with selection, of selection, and relative to all points."""
    diagnostics = {}
    for fraction, (choosing, training) in zip(fractions, seconds, strict=True):
        diagnostics[f"seconds_{fraction:g}"] = choosing + training
        diagnostics[f"selection_seconds_{fraction:g}"] = choosing
        diagnostics[f"relative_seconds_{fraction:g}"] = (choosing + training) / of_all
    return diagnostics


def _chooser(
    experiment: SelectionExperiment,
    strategy: SelectionStrategy,
    fraction: float,
    name: str,
    purpose: str,
    values: torch.Tensor | None,
) -> Chooser:
    problem, train = experiment.problem, experiment.retraining.train
    validation = problem.validation.x.to(train.x.device), problem.validation.y.to(train.x.device)
    key = (problem.dataset, problem.seed, name, purpose)
    return Chooser(strategy, (train.x, train.y), validation, experiment.how, fraction, key, values)


def _valued(
    cell: Cell, problem: Problem, device: str, purpose: str, strategy: SelectionStrategy, value: Value
) -> ValuationOutput | None:
    """Value all points by the evaluator that a strategy names; None if it names none."""
    if strategy.valued_by is None:
        return None
    evaluator, params = strategy.valued_by
    settings = EvaluatorSettings(name=evaluator, params=dict(params))
    key = (cell.key.suite, cell.key.seed)
    return value(make_input(problem, settings, cell.problem.model, cell.problem.training, key, purpose), device)


def _seconds_of_all(experiment: SelectionExperiment) -> float:
    """Seconds of training on all points, from those of one epoch."""
    n, how = experiment.problem.players, experiment.how
    one_epoch = SelectionExperiment(experiment.retraining, how.model_copy(update={"epochs": 1, "every": 1}))
    everything = Chosen(np.arange(n), np.ones(n, dtype=np.float32))
    spent = one_epoch.train(lambda network, number: everything)
    return max(spent.training, SHORTEST) * how.epochs
