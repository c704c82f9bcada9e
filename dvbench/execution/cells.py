"""Runs one cell from its settings to its result on disk. A failure is a result too."""

from __future__ import annotations

import traceback

from dvbench import __version__
from dvbench.datasets import build_problem
from dvbench.errors import UserError
from dvbench.execution.environment import describe
from dvbench.execution.resume import crashed, evaluator_version, reusable, table_hash
from dvbench.execution.valuation import valuate
from dvbench.problem import Problem
from dvbench.registry import find
from dvbench.results import Cell, Dataset, Result, Score, Store
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
    except (Exception, SystemExit) as error:
        return crashed(cell, store, describe_exception(error), device)
    return _score(cell, result, problem, tasks, store, device)


def describe_exception(error: BaseException) -> str:
    """An exception in one line, with the place it came from unless it was raised for the user."""
    try:
        text = " ".join(str(error).split()) or "no message"
    except Exception:  # a stranger's exception may not even print
        text = "no message"
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
            table=table_hash(cell.dataset),
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
    """Score with the tasks that are lacking, after a second valuation if one of them needs it."""
    lacking = result.lacks({name: task.version for name, task in tasks.items()})
    scores = dict(result.scores)
    arrays = {name: store.array(result, name) for name in result.arrays}
    if "repeat" not in arrays and any(tasks[name].repeats for name in lacking):
        try:
            arrays["repeat"] = valuate(cell, problem, device, purpose="repeat").arrays["values"]
        except (Exception, SystemExit) as error:
            for name in [name for name in lacking if tasks[name].repeats]:
                scores[name] = _failed(tasks[name], f"second valuation: {describe_exception(error)}")
                lacking.remove(name)
    valuation = Valuation(arrays["values"], arrays.get("repeat"))
    retrain = Retraining(problem, cell.model, cell.training, device)
    for name in lacking:
        scores[name] = _score_task(tasks[name], problem, valuation, retrain)
    scored = {**result.model_dump(), "cell": cell.model_dump(), "scores": scores}
    return store.write(Result.model_validate(scored), arrays)


def _score_task(task: Task, problem: Problem, valuation: Valuation, retrain: Retraining) -> Score:
    """Score a valuation with a task; a failure becomes an error in the score."""
    try:
        outcome = task(problem, valuation, retrain)
        return Score.model_validate({**_about(task), "metrics": outcome.metrics, "curves": outcome.curves})
    except (Exception, SystemExit) as error:
        return _failed(task, describe_exception(error))


def _failed(task: Task, error: str) -> Score:
    return Score.model_validate({**_about(task), "error": error})


def _about(task: Task) -> dict[str, int | str | bool]:
    return {"version": task.version, "headline": task.headline, "higher_is_better": task.higher_is_better}
