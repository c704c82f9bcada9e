"""The second step: the values of cells of one problem and seed are scored, with models that are trained together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, cached_property

import numpy as np

from dvbench.errors import UserError
from dvbench.execution.failures import describe_exception, failed_score, unscored
from dvbench.execution.resume import data_of, saved, task_metadata, task_versions
from dvbench.problems.build import build_from_settings
from dvbench.problems.problem import Problem
from dvbench.randomness import integer_seed, isolated_generators
from dvbench.registry import find
from dvbench.results import Cell, Result, Score, Store
from dvbench.scoring.contract import Retrain, Task, UnlearningOutputs, Valuation
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.unlearned_models import UnlearningExperiment
from dvbench.scoring.unlearned_texts import make_unlearning_experiment
from dvbench.unlearning.factory import make_method


def score_cells(cells: Sequence[Cell], store: Store, device: str = "cpu") -> Iterator[Result]:
    """Score cells with the tasks they lack. Whatever goes wrong is recorded in the results.

    Nothing but the values is needed: an evaluator need not even be installed.

    Every task is run until it asks for retrained models; one that never does is done. What all of them asked for is
    trained together, each subset once, and then those that asked are run again, from the start.

    Parameters
    ----------
    cells : sequence of Cell
        They differ in evaluator and tasks only, and their values are on disk.
    store : Store
    device : str

    Yields
    ------
    Result
        As it was written.

    Raises
    ------
    UserError
        If a result cannot be written, or what is on disk is not a result.
    """
    first, asking = cells[0], list[_Scoring]()
    settings = first.problem
    try:
        problem = build_from_settings(settings, first.key.seed)
        retrain = Retraining(problem, settings.model, settings.training, device)
        judges = _ReferenceModels(retrain)
    except (Exception, SystemExit) as error:
        for cell in cells:
            yield unscored(cell, store, describe_exception(error), device)
        return
    for cell in cells:
        try:
            scoring = _Scoring(cell, problem, store, judges)
        except (Exception, SystemExit) as error:
            yield unscored(cell, store, describe_exception(error), device)
            continue
        scoring.run(_ask)
        if scoring.due:
            asking.append(scoring)
        else:
            yield scoring.write()
    # What fails here fails again below, where it is the failure of those tasks only that asked for it.
    with suppress(Exception):
        retrain([players for scoring in asking for players in scoring.asked])
    for scoring in asking:
        scoring.run(retrain)
        yield scoring.write()


class _Asked(BaseException):
    """Ends a task where it asks for models; no `Exception`, which a task may catch."""

    def __init__(self, coalitions: list[np.ndarray]) -> None:
        super().__init__()
        self.coalitions = coalitions


def _ask(coalitions: Sequence[np.ndarray]) -> np.ndarray:
    """Stand in for retraining."""
    raise _Asked([np.array(players) for players in coalitions])


class _ReferenceModels:
    """The models by which unlearning methods are judged, trained once for all of them where a task asks for them."""

    def __init__(self, retraining: Retraining) -> None:
        self._retraining = retraining

    @cached_property
    def _forgetting(self) -> UnlearningExperiment:
        return make_unlearning_experiment(self._retraining)

    def of(self, cell: Cell) -> Callable[[], UnlearningOutputs] | None:
        """What a cell's unlearning method makes of the full model, computed once; None for evaluators."""
        if cell.evaluator.kind != "unlearning":
            return None

        @cache
        def outputs() -> UnlearningOutputs:
            with isolated_generators(integer_seed(str(cell.problem.dataset), cell.key.seed, "valuation")):
                return self._forgetting.outputs(make_method(cell.evaluator.name, **cell.evaluator.params))

        return outputs


class _Scoring:
    """A cell that is being scored.

    Attributes
    ----------
    due : dict of str to Task
        Tasks that are to be run.
    asked : list of numpy.ndarray
        Coalitions that those wanted to see trained.
    """

    def __init__(self, cell: Cell, problem: Problem, store: Store, judges: _ReferenceModels) -> None:
        result = saved(cell, store)
        if result is None or result.dataset != data_of(cell, problem):
            raise UserError("there are no values for the data set as it is now; run the cell again")
        self.cell, self.problem, self.store, self.result = cell, problem, store, result
        self.forgotten = judges.of(cell)
        self.scores: dict[str, Score] = {}
        self.asked: list[np.ndarray] = []
        tasks: dict[str, Task] = {name: find("tasks", name).load() for name in result.lacks(task_versions(cell))}
        # Without a second valuation, why it failed is recorded already.
        self.due = {name: task for name, task in tasks.items() if "repeat" in result.arrays or not task.repeats}

    def run(self, retrain: Retrain) -> None:
        """Run the tasks that are due; those that `_ask` stay due, and a failure becomes an error in the score."""
        for name, task in list(self.due.items()):
            try:
                # Read anew each time: a task that alters them alters its own.
                arrays = {name: self.store.array(self.result, name) for name in self.result.arrays}
                outcome = task(self.problem, Valuation(arrays["values"], arrays.get("repeat"), self.forgotten), retrain)
                found = {"metrics": outcome.metrics, "curves": outcome.curves, "axes": outcome.axes}
                self.scores[name] = Score.model_validate({**task_metadata(name), **found})
            except _Asked as question:
                self.asked += question.coalitions
                continue
            except (Exception, SystemExit) as error:
                self.scores[name] = failed_score(name, describe_exception(error))
            del self.due[name]

    def write(self) -> Result:
        """Write the result with its new scores."""
        return self.store.write(self.result.with_scores(self.cell, self.scores))
