"""Runs one cell from its settings to its result on disk. A failure is a result too."""

from __future__ import annotations

import traceback

from dvbench import __version__
from dvbench.datasets import build_problem
from dvbench.errors import UserError
from dvbench.execution.environment import describe
from dvbench.execution.resume import evaluator_version, failure, reusable
from dvbench.execution.valuation import valuate
from dvbench.problem import Problem
from dvbench.registry import find
from dvbench.results import ArrayName, Cell, Dataset, Result, Score, Store
from dvbench.tasks.contract import Task, Valuation
from dvbench.tasks.retrain import Retraining


def run_cell(cell: Cell, store: Store, device: str = "cpu") -> Result:
    """Value, write, score, write again. Whatever goes wrong is recorded in the result.

    Parameters
    ----------
    cell : Cell
    store : Store
    device : str

    Returns
    -------
    Result
        As it was written.

    Raises
    ------
    UserError
        If the result cannot be written, or what is on disk is not a result.
    """
    result = reusable(cell, store)
    try:
        problem = build_problem(cell.dataset, cell.sizes, cell.noise, cell.key.seed)
        tasks: dict[str, Task] = {name: find("tasks", name).load() for name in cell.tasks}
        if result is None or (result.dataset and result.dataset.revision != problem.revision):
            result = _value(cell, problem, store, device)
        if any(task.repeats for task in tasks.values()) and "repeat" not in result.arrays:
            repeat = valuate(cell, problem, device, purpose="repeat").arrays["values"]
            known: dict[ArrayName, object] = {name: store.array(result, name) for name in result.arrays}
            result = store.write(result, {**known, "repeat": repeat})  # type: ignore[dict-item]
    except Exception as error:
        return store.write(failure(cell, describe_exception(error), device))
    return _score(cell, result, problem, tasks, store, device)


def describe_exception(error: BaseException) -> str:
    """An exception in one line, with the place it came from unless it was raised for the user."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, UserError):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = "/".join(frame.filename.replace("\\", "/").split("/")[-2:])
    return f"{type(error).__name__}: {text} ({place}:{frame.lineno})"


def _value(cell: Cell, problem: Problem, store: Store, device: str) -> Result:
    valued = valuate(cell, problem, device)
    entry = find("evaluators", cell.evaluator.name)
    result = Result(
        dvbench_version=__version__,
        cell=cell,
        status="ok",
        evaluator_object=entry.target,
        evaluator_version=evaluator_version(entry),
        dataset=Dataset(
            revision=problem.revision,
            kind=problem.kind,
            train=len(problem.train),
            reachable=len(problem.reachable),
            test=len(problem.test),
        ),
        cost=valued.cost,
        diagnostics=valued.diagnostics,
        environment=describe(device),
    )
    return store.write(result, valued.arrays)


def _score(cell: Cell, result: Result, problem: Problem, tasks: dict[str, Task], store: Store, device: str) -> Result:
    repeat = store.array(result, "repeat") if "repeat" in result.arrays else None
    valuation = Valuation(store.array(result, "values"), repeat)
    retrain = Retraining(problem, cell.model, cell.training, device)
    scores = dict(result.scores)
    for name in result.lacks({name: task.version for name, task in tasks.items()}):
        scores[name] = _score_task(tasks[name], problem, valuation, retrain)
    return store.write(Result.model_validate({**result.model_dump(), "cell": cell.model_dump(), "scores": scores}))


def _score_task(task: Task, problem: Problem, valuation: Valuation, retrain: Retraining) -> Score:
    """Score a valuation with a task; a failure becomes an error in the score."""
    about = {"version": task.version, "headline": task.headline, "higher_is_better": task.higher_is_better}
    try:
        outcome = task(problem, valuation, retrain)
        return Score.model_validate({**about, "metrics": outcome.metrics, "curves": outcome.curves})
    except Exception as error:
        return Score.model_validate({**about, "error": describe_exception(error)})
