"""Scores the saved values of cells of one problem and seed, with models that are trained together.

This is the second step of a run, after `dvbench.execution.valuation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache, cached_property, partial

import numpy as np

from dvbench.errors import UserError
from dvbench.exact.tables import known_games
from dvbench.execution.failures import error_line, failed_score, record_failed_scoring
from dvbench.execution.resume import data_of, needed_measures, needed_variants, saved, task_metadata, task_versions
from dvbench.games import all_coalitions
from dvbench.problems.build import build_from_settings
from dvbench.problems.problem import Problem
from dvbench.problems.variants import VARIANTS
from dvbench.randomness import integer_seed, isolated_generators
from dvbench.registry import find
from dvbench.results import Cell, Result, Score, Store
from dvbench.scoring.build import make_unlearning_experiment
from dvbench.scoring.contract import Outcome, Task, Valuation
from dvbench.scoring.measures import of_trained, other_model
from dvbench.scoring.outputs import CoalitionUtilities, UnlearningOutputs
from dvbench.scoring.retraining import Retraining
from dvbench.scoring.selection_experiment import SelectionExperiment, SelectionOutputs
from dvbench.scoring.unlearning_experiment import UnlearningExperiment
from dvbench.training.memory import parameter_count
from dvbench.unlearning.factory import make_method

EXACT = "exact"  # folder of exact tables among results
CEILING_TRAINING = 1  # number of the training whose references are compared with those that tasks score with
MOST_PARAMETERS = 10**8  # of models that are trained once more for ceilings


def score_cells(cells: Sequence[Cell], store: Store, device: str = "cpu") -> Iterator[Result]:
    """Score cells with the tasks that they lack. Errors are recorded in the results.

    Only the saved values are needed; the evaluator need not be installed.

    All tasks of all cells are asked for the coalitions whose utilities they need. A cell whose tasks need none is
    scored at once. Then all coalitions are trained together, each once, and the other cells are scored.

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
        If a result cannot be written, or a file on disk is not a result.
    """
    first = cells[0]
    try:
        problem = build_from_settings(first.problem, first.key.seed)
        needed = of_trained([measure for cell in cells for task in cell.tasks for measure in needed_measures(task)])
        measures = tuple(dict.fromkeys(needed))
        retraining = Retraining(problem, first.problem.model, first.problem.training, device, 0, measures)
        models = _SharedModels(retraining, first, store)
    except (Exception, SystemExit) as error:
        for cell in cells:
            yield record_failed_scoring(cell, store, error_line(error), device)
        return
    waiting: list[_CellScoring] = []
    for cell in cells:
        try:
            scoring = _CellScoring(cell, problem, store, models)
        except (Exception, SystemExit) as error:
            yield record_failed_scoring(cell, store, error_line(error), device)
            continue
        scoring.ask_for_coalitions()
        if scoring.coalitions:
            waiting.append(scoring)
        else:
            yield scoring.score()
    # What cannot be trained fails again below, where the failure is recorded for the tasks that asked for it.
    with suppress(Exception):
        models.retraining([players for scoring in waiting for players in scoring.coalitions])
    while waiting:  # popped, so that the outputs of unlearned models are freed
        yield waiting.pop(0).score()


class _SharedModels:
    """Models that cells of one problem and seed are scored with, each trained once for all cells.

    Parameters
    ----------
    retraining : Retraining
    cell : Cell
        Any of the cells: how they train models is the same.
    store : Store
        May have exact tables of the problem.
    """

    def __init__(self, retraining: Retraining, cell: Cell, store: Store) -> None:
        self.retraining, self._cell, self._store = retraining, cell, store

    @cached_property
    def experiment(self) -> UnlearningExperiment:
        """Holds the full model and the retrained ones by which unlearning methods are judged."""
        return make_unlearning_experiment(self.retraining)

    def unlearning_outputs(self, cell: Cell) -> UnlearningOutputs:
        """Outputs of the models from which a cell's unlearning method has removed each player."""
        with isolated_generators(integer_seed(str(cell.problem.dataset), cell.key.seed, "valuation")):
            return self.experiment.outputs(make_method(cell.evaluator.name, **cell.evaluator.params))

    def coalition_utilities(self, cell: Cell) -> CoalitionUtilities:
        """Utilities of models without each coalition, by a cell's unlearning method and by retraining."""
        with isolated_generators(integer_seed(str(cell.problem.dataset), cell.key.seed, "valuation")):
            return self.experiment.coalition_utilities(make_method(cell.evaluator.name, **cell.evaluator.params))

    @cached_property
    def selection(self) -> SelectionExperiment:
        """Trains models on what selection strategies chose, and once on all points."""
        assert self._cell.problem.selection is not None
        return SelectionExperiment(self.retraining, self._cell.problem.selection)

    @cached_property
    def _another_training(self) -> Retraining:
        """Models with other initial weights and minibatches, whose utilities an exact table may have."""
        problem, settings, seed = self.retraining.problem, self._cell.problem, self._cell.key.seed
        device, measures = self.retraining.device, self.retraining.measures
        another = Retraining(problem, settings.model, settings.training, device, CEILING_TRAINING, measures)
        if measures:  # which no table has
            return another
        with suppress(UserError):  # a table that cannot be read saves no time
            games = known_games(self._store.root / EXACT, settings, seed, problem.revision)
            if games is not None and len(games) > CEILING_TRAINING:
                another.know(all_coalitions(problem.players), games[CEILING_TRAINING])
        return another

    def ceiling(self, task: Task, outcome: Outcome) -> float | None:
        """Ceiling of a task's headline metric; None if it has none, or its models are costly or diverge."""
        if task.reference is None or parameter_count(self.retraining.model) > MOST_PARAMETERS:
            return None
        with suppress(FloatingPointError):
            return task.reference.ceiling(
                self.retraining.problem,
                outcome,
                lambda asked, measures: self._another_training.measured(asked, measures),
                self.retraining.measured,
            )
        return None

    @cached_property
    def other(self) -> Retraining:
        """Trains another model than that of the problem; see `dvbench.scoring.measures.other_model`."""
        how = self._cell.problem
        return Retraining(self.retraining.problem, other_model(how.model), how.training, self.retraining.device)

    def utilities(self, coalitions: Sequence[np.ndarray], measures: Sequence[str]) -> np.ndarray:
        """Test utilities of models trained on coalitions, or their measures; empty if there are no coalitions."""
        if not coalitions:
            return np.empty(0)
        if not measures:
            return self.retraining(coalitions)
        own = {name: self.retraining.measured(coalitions, [name]) for name in of_trained(measures)}
        return np.concatenate([own[name] if name in own else [self.other(coalitions)] for name in measures])


class _CellScoring:
    """Scores one cell.

    Parameters
    ----------
    cell : Cell
    problem : Problem
    store : Store
    models : _SharedModels

    Raises
    ------
    UserError
        If there are no values of this data set, or a task cannot be loaded.
    """

    def __init__(self, cell: Cell, problem: Problem, store: Store, models: _SharedModels) -> None:
        result = saved(cell, store)
        if result is None or result.dataset != data_of(cell, problem):
            raise UserError("there are no values for the data set as it is now; run the cell again")
        self._cell, self._problem, self._store, self._result, self._models = cell, problem, store, result, models
        kind = cell.evaluator.kind
        self._outputs = cache(partial(models.unlearning_outputs, cell)) if kind == "unlearning" else None
        self._utilities = partial(models.coalition_utilities, cell) if kind == "unlearning" else None
        self._selected = cache(self._selection_outputs) if kind == "selection" else None
        tasks: dict[str, Task] = {name: find("tasks", name).load() for name in result.lacks(task_versions(cell))}
        # Where a task lacks the values of a variant, the reason is in its score already.
        self._tasks = {name: task for name, task in tasks.items() if result.arrays.keys() >= {*needed_variants(name)}}
        self._coalitions: dict[str, list[np.ndarray]] = {}
        self._scores: dict[str, Score] = {}

    @property
    def coalitions(self) -> list[np.ndarray]:
        """All coalitions that the tasks asked for, in the order of the tasks."""
        return [players for coalitions in self._coalitions.values() for players in coalitions]

    def ask_for_coalitions(self) -> None:
        """Ask the tasks for their coalitions; an exception becomes an error in the task's score."""
        for name, task in self._tasks.items():
            try:
                self._coalitions[name] = task.wanted_coalitions(self._problem, self._valuation())
            except (Exception, SystemExit) as error:
                self._scores[name] = failed_score(name, error_line(error))

    def score(self) -> Result:
        """Score with all tasks that have not failed yet, and write the result."""
        for name, coalitions in self._coalitions.items():
            try:
                utilities = self._models.utilities(coalitions, self._tasks[name].measures)
                outcome = self._tasks[name](self._problem, self._valuation(), utilities)
                numbers = {"metrics": outcome.metrics, "curves": outcome.curves, "axes": outcome.axes}
                ceiling = self._models.ceiling(self._tasks[name], outcome)
                self._scores[name] = Score.model_validate({**task_metadata(name), **numbers, "ceiling": ceiling})
            except (Exception, SystemExit) as error:
                self._scores[name] = failed_score(name, error_line(error))
        return self._store.write(self._result.with_scores(self._cell, self._scores))

    def _valuation(self) -> Valuation:
        """The saved values, read anew: a task that changes its arrays changes those of no other task."""
        arrays = self._store.arrays(self._result)
        variants = {str(name): array for name, array in arrays.items() if name in VARIANTS}
        return Valuation(
            arrays["values"], arrays.get("repeat"), self._outputs, self._selected, variants, self._utilities
        )

    def _selection_outputs(self) -> SelectionOutputs:
        """Accuracies of models that are trained on what the cell's selection strategy chose."""
        arrays = self._store.arrays(self._result)
        try:
            metadata = find("selection", self._cell.evaluator.name).definition.metadata
        except UserError:  # the strategy is not needed, and need not be installed
            metadata = {}
        return self._models.selection.outputs(arrays, metadata.get("keeps_all") is True)
