"""Values players by an unlearning method: by the utility on the validation set that is lost without each player."""

from __future__ import annotations

import time

import numpy as np

from dvbench.execution.environment import watch_memory
from dvbench.execution.valuation_output import ValuationOutput
from dvbench.problems.problem import Problem
from dvbench.randomness import integer_seed, isolated_generators
from dvbench.results import Cell, Cost
from dvbench.scoring.build import make_unlearning_experiment
from dvbench.scoring.retraining import Retraining
from dvbench.training.throughput import fit_diagnostics
from dvbench.unlearning.factory import make_method


def value_by_unlearning(cell: Cell, problem: Problem, device: str, purpose: str) -> ValuationOutput:
    """Train the full model, and value every player by the utility that is lost when it is unlearned.

    Parameters
    ----------
    cell : Cell
        A cell with an unlearning method as its evaluator.
    problem : Problem
    device : str
    purpose : str
        Part of the key of the minibatches' randomness: with another purpose, minibatches differ.

    Returns
    -------
    ValuationOutput
        ``cost.seconds`` is the time that unlearning all players takes, one by one. Diagnostics: ``train_seconds`` and
        ``unlearn_seconds``, the times to train the full model and to unlearn all of its data at once; for language
        models also ``tokens_per_second`` of training, and its ``flop_utilisation``.

    Raises
    ------
    UserError
        If there is no such method, or there are too many players.
    FloatingPointError
        If training or unlearning diverged.
    """
    method = make_method(cell.evaluator.name, **cell.evaluator.params)
    experiment = make_unlearning_experiment(Retraining(problem, cell.problem.model, cell.problem.training, device))
    with (
        isolated_generators(integer_seed(str(cell.problem.dataset), cell.key.seed, purpose)),
        watch_memory(device) as memory,
    ):
        started = time.perf_counter()
        model = experiment.full
        trained, trained_processor = time.perf_counter(), time.process_time()
        unlearner = experiment.unlearner(method)
        values = experiment.utilities_lost(unlearner, purpose)
        seconds, processor_seconds = time.perf_counter() - trained, time.process_time() - trained_processor
        unlearned = unlearner.count
    started_all = time.perf_counter()
    # A GPU has finished its work when this is known.
    bool(unlearner.unlearn([np.arange(len(problem.train))], 0).finite().all())
    diagnostics = {"train_seconds": trained - started, "unlearn_seconds": time.perf_counter() - started_all}
    diagnostics |= fit_diagnostics(model, problem.train.x, cell.problem.training)
    cost = Cost(
        seconds=seconds,
        processor_seconds=processor_seconds,
        fits=model.fits.count,
        unlearned=unlearned,
        peak_memory=memory.peak,
        peak_cuda_memory=memory.peak_cuda,
    )
    diagnostics["distinct_values"] = float(len(np.unique(values)))
    return ValuationOutput({"values": values}, cost, diagnostics)
