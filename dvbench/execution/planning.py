"""Selects parts of a suite, and lists its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from dvbench.errors import UserError, validation_message
from dvbench.registry import entries, find, plural, with_article
from dvbench.results import Cell, CellKey, Plan
from dvbench.settings import Compared, DatasetSettings, EvaluatorSettings
from dvbench.suite import Suite, SuiteProblem


def make_plan(suite: Suite) -> Plan:
    """List all cells of a suite, problem by problem and seed by seed."""
    cells = tuple(
        Cell(
            key=CellKey(suite=suite.name, problem=problem.title, evaluator=evaluator.title, seed=seed),
            suite_version=suite.version,
            problem=problem.settings,
            evaluator=evaluator,
            tasks=problem.tasks,
        )
        for problem in suite.problems
        for seed in suite.seeds
        for evaluator in suite.evaluators
    )
    return Plan(
        suite=suite.name,
        suite_version=suite.version,
        description=suite.description,
        cells=cells,
        roles=suite.roles,
        trials=suite.trials,
    )


def narrow(
    suite: Suite,
    evaluators: Sequence[str | Mapping[str, Any]] = (),
    datasets: Sequence[str] = (),
    tasks: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
) -> Suite:
    """Select parts of a suite, and add evaluators and data sets that it does not have.

    Parameters
    ----------
    suite : Suite
    evaluators : sequence of str or mapping
        Labels or names of the evaluators to keep. Another registered name, or a ``module:Class``, is added with its
        default parameters; a mapping with ``name``, and optionally ``label`` and ``params``, with its own. In a suite
        of unlearning methods or selection strategies these are such.
    datasets : sequence of str
        Data sets whose problems are kept. Another data set replaces that of the first problem.
    tasks : sequence of str
        Tasks to keep.
    seeds : sequence of int, optional
        By default the seeds of the suite.

    Returns
    -------
    Suite

    Raises
    ------
    UserError
        If something does not exist, or nothing is left.
    """
    for what, given in (("evaluators", evaluators), ("datasets", datasets), ("tasks", tasks), ("seeds", seeds)):
        if isinstance(given, str | int | Mapping):
            raise UserError(f"{what} must be a list, such as [{given!r}], not {given!r}")
    chosen = [settings for which in evaluators for settings in _evaluators(suite, which)] or list(suite.evaluators)
    problems = [problem for name in datasets for problem in _problems(suite, name)] or list(suite.problems)
    if tasks:
        wanted = {find("tasks", name).name for name in tasks}
        problems = [
            problem.model_copy(update={"tasks": tuple(task for task in problem.tasks if task in wanted)})
            for problem in problems
        ]
        problems = [problem for problem in problems if problem.tasks]
        if not problems:
            known = sorted({task for problem in suite.problems for task in problem.tasks})
            raise UserError(
                f"suite '{suite.name}' has no {' or '.join(sorted(wanted))} on the data sets chosen; it has "
                f"{', '.join(known)}"
            )
    titles = {settings.title: settings for settings in chosen}
    update = {
        "evaluators": tuple(titles.values()),
        "problems": tuple({problem.model_dump_json(): problem for problem in problems}.values()),
        "seeds": tuple(seeds) if seeds is not None else suite.seeds,
    }
    plain = {key: [_plain(value) for value in values] for key, values in update.items()}
    try:
        roles = {title: role for title, role in suite.roles.items() if title in titles}
        return Suite.model_validate({**suite.model_dump(), **plain, "roles": roles})
    except ValidationError as error:
        raise UserError(f"suite '{suite.name}': {validation_message(error)}") from error


def _plain(value: object) -> object:
    return value.model_dump() if isinstance(value, EvaluatorSettings | SuiteProblem) else value


def _evaluators(suite: Suite, name: str | Mapping[str, Any]) -> list[EvaluatorSettings]:
    """Return the settings of a suite for an evaluator, by label or name, or new ones."""
    if not isinstance(name, str):
        try:
            settings = EvaluatorSettings.model_validate({"kind": suite.kind, **name})
        except ValidationError as error:
            raise UserError(f"evaluator {dict(name)}: {validation_message(error)}") from error
        return [settings.model_copy(update={"name": find(settings.kind, settings.name).name})]
    labelled = [settings for settings in suite.evaluators if settings.title == name]
    if labelled:
        return labelled
    try:
        canonical = find(suite.kind, name).name
    except UserError:
        for other in set(get_args(Compared)) - {suite.kind}:
            if name in entries(other):
                raise UserError(
                    f"{name} is {with_article(other)}, and suite '{suite.name}' has {plural(suite.kind)}"
                ) from None
        raise
    own = [settings for settings in suite.evaluators if settings.name == canonical]
    return own or [EvaluatorSettings(kind=suite.kind, name=canonical)]


def _problems(suite: Suite, text: str) -> list[SuiteProblem]:
    dataset = DatasetSettings.parse(text)
    dataset = dataset.model_copy(update={"name": find("datasets", dataset.name).name})
    own = [problem for problem in suite.problems if problem.dataset == dataset]
    first = suite.problems[0].dataset
    return own or [
        problem.model_copy(update={"dataset": dataset, "label": _relabelled(problem, dataset)})
        for problem in suite.problems
        if problem.dataset == first
    ]


def _relabelled(problem: SuiteProblem, dataset: DatasetSettings) -> str | None:
    """Return a label for a problem whose data set was replaced."""
    if problem.label is None:
        return None
    before, after = str(problem.dataset), dataset.title
    return problem.label.replace(before, after) if before in problem.label else f"{after}-{problem.label}"


def merged(plan: Plan, before: Plan | None) -> Plan:
    """Add the cells of an earlier plan that are not in this one, unless their problem has other settings now."""
    if before is None or before.suite_version != plan.suite_version:
        return plan
    now = {cell.key for cell in plan.cells}
    settings = {cell.key.problem: problem_of(cell) for cell in plan.cells}
    kept = [
        cell
        for cell in before.cells
        if cell.key not in now and settings.get(cell.key.problem, problem_of(cell)) == problem_of(cell)
    ]
    return plan.model_copy(update={"cells": (*kept, *plan.cells), "roles": before.roles | plan.roles})


def problem_of(cell: Cell) -> str:
    """Return the settings of a cell's problem and model as text; equal texts mean equal problems."""
    return json.dumps(cell.problem.model_dump(mode="json"), sort_keys=True)
