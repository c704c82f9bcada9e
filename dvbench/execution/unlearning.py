"""Values by an unlearning method: what is lost on the reachable set by unlearning each player."""

from __future__ import annotations

import time

import numpy as np

from dvbench.execution.environment import watch_memory
from dvbench.execution.valued import Valued
from dvbench.problem import Problem
from dvbench.randomness import integer_seed, quarantine
from dvbench.results import Cell, Cost
from dvbench.tasks.retrain import Retraining
from dvbench.tasks.unlearned_models import Forgetting
from dvbench.unlearning.making import make_method


def value_by_unlearning(cell: Cell, problem: Problem, device: str, purpose: str) -> Valued:
    """Train the full model, and value every player by the performance that unlearning it costs.

    Parameters
    ----------
    cell : Cell
        Its evaluator is an unlearning method.
    problem : Problem
    device : str
    purpose : str
        Another purpose, other minibatches.

    Returns
    -------
    Valued
        ``cost.seconds`` is the time of unlearning all players. Diagnostics: ``train_seconds`` and ``unlearn_seconds``
        to train the full model and to unlearn all of its data at once.

    Raises
    ------
    UserError
        If there is no such method, or there are too many players.
    FloatingPointError
        If training or unlearning diverged.
    """
    method = make_method(cell.evaluator.name, **cell.evaluator.params)
    forgetting = Forgetting(Retraining(problem, cell.model, cell.training, device))
    with quarantine(integer_seed(cell.dataset, cell.key.seed, purpose)), watch_memory(device) as memory:
        started = time.perf_counter()
        model = forgetting.full
        trained = time.perf_counter()
        unlearner = forgetting.unlearner(method)
        values = forgetting.performances_lost(unlearner, purpose)
        seconds, unlearned = time.perf_counter() - trained, unlearner.count
    started_all = time.perf_counter()
    # Whether it is finite is known when a GPU is done.
    bool(unlearner.unlearn([np.arange(len(problem.train))], 0).finite().all())
    diagnostics = {"train_seconds": trained - started, "unlearn_seconds": time.perf_counter() - started_all}
    cost = Cost(
        seconds=seconds,
        fits=model.fits.count,
        unlearned=unlearned,
        peak_memory=memory.peak,
        peak_cuda_memory=memory.peak_cuda,
    )
    diagnostics["distinct_values"] = float(len(np.unique(values)))
    return Valued({"values": values}, cost, diagnostics)
