"""Selects parts of a suite, checks that it can work, and lists its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dvbench.definitions import literal_keys
from dvbench.errors import UserError, one_line, validation_message
from dvbench.execution.resume import task_metadata
from dvbench.registry import Entry, Kind, entries, find, singular
from dvbench.results import Cell, CellKey, Plan
from dvbench.settings import DatasetSettings, EvaluatorSettings
from dvbench.suite import Suite, SuiteProblem

if TYPE_CHECKING:
    from dvbench.problems.source import Source


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
    return Plan(suite=suite.name, suite_version=suite.version, description=suite.description, cells=cells)


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
        of unlearning methods these are methods.
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
    update = {
        "evaluators": tuple({settings.title: settings for settings in chosen}.values()),
        "problems": tuple({problem.model_dump_json(): problem for problem in problems}.values()),
        "seeds": tuple(seeds) if seeds is not None else suite.seeds,
    }
    plain = {key: [_plain(value) for value in values] for key, values in update.items()}
    try:
        return Suite.model_validate({**suite.model_dump(), **plain})
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
        other: Kind = "evaluators" if suite.kind == "unlearning" else "unlearning"
        if name in entries(other):
            raise UserError(
                f"{name} is an {singular(other)}, and suite '{suite.name}' has {singular(suite.kind)}s"
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


def check(suite: Suite) -> None:
    """Check that all names and parameters exist, and that every problem has what its tasks need.

    Every data set is loaded, which also downloads it.

    Raises
    ------
    UserError
        If the suite cannot work.
    """
    from dvbench.execution.evaluator_making import make_evaluator
    from dvbench.problems.build import check_noise, load_source
    from dvbench.problems.splits import check_texts
    from dvbench.randomness import isolated_generators
    from dvbench.scoring.contract import check_players
    from dvbench.unlearning.factory import make_method

    for evaluator in suite.evaluators:
        if evaluator.kind == "unlearning":
            make_method(evaluator.name, **evaluator.params)
            continue
        entry = find("evaluators", evaluator.name)
        entry.check_parameters(evaluator.params)
        if ":" in evaluator.name:
            _check_interface(entry)
        if evaluator.params:  # its constructor checks their values, such as an unlearning method and its parameters
            with isolated_generators(0):
                make_evaluator(evaluator, 0)
    sources = {
        title: load_source(dataset)
        for title, dataset in sorted({str(p.dataset): p.dataset for p in suite.problems}.items())
    }
    grouped = {
        problem.title: load_source(problem.dataset, problem.groups.column)
        for problem in suite.problems
        if problem.groups is not None and problem.groups.column is not None
    }
    for problem in suite.problems:
        find("models", problem.model.name).check_parameters({"shape", "outputs", *problem.model.params})
        for name in problem.tasks:
            task_metadata(name)
            _check_headline(find("tasks", name))
            metadata = find("tasks", name).definition.metadata
            if metadata.get("judges_unlearning") and suite.kind != "unlearning":
                raise UserError(f"suite '{suite.name}': {name} judges unlearning methods, and the suite has evaluators")
            if metadata.get("judges_unlearning") and problem.groups is None:
                raise UserError(
                    f"suite '{suite.name}': {name} needs groups, such as groups = {{ by = \"classes\" }}, and "
                    f"{problem.title} has none"
                )
            if (players := _players(problem, sources[str(problem.dataset)])) is not None:
                try:
                    check_players(players, metadata.get("min_players", 1), metadata.get("max_players"))
                except UserError as error:
                    raise UserError(f"suite '{suite.name}': {name} on {problem.title}: {error}") from error
            needs = metadata.get("noise")
            if needs and problem.noise.kind != needs:
                raise UserError(
                    f"suite '{suite.name}': {name} needs {needs} noise, and {problem.title} has {problem.noise.kind}"
                )
        if problem.noise.kind == "labels" and sources[str(problem.dataset)].kind == "regression":
            raise UserError(
                f"{problem.dataset} is a regression data set and has no labels to flip; use noise of kind 'features', "
                "as with --task noisy_feature_detection"
            )
        source = sources[str(problem.dataset)]
        check_noise(problem.noise, source, str(problem.dataset))
        if source.kind == "language":
            try:
                check_texts(source, problem.sizes)
            except UserError as error:
                raise UserError(f"suite '{suite.name}': {problem.title}: {error}") from error
    _check_models(suite, {p.title: grouped.get(p.title, sources[str(p.dataset)]) for p in suite.problems})


def _check_models(suite: Suite, sources: Mapping[str, Source]) -> None:
    """Build the model of every problem once, so that a model that does not fit the data is found before anything runs.

    ``sources`` are the data sets by the titles of the problems.
    """
    import numpy as np

    from dvbench.training.build import check_model

    checked = set()
    for problem in suite.problems:
        source = sources[problem.title]
        try:
            shape = source.take(np.arange(1)).shape[1:]
        except Exception as error:  # a third-party data set can raise anything
            raise UserError(f"data set '{problem.dataset}': cannot read its first row: {one_line(error)}") from error
        outputs = {"language": source.vocabulary, "regression": 1}.get(source.kind, len(source.classes))
        key = (problem.model.model_dump_json(), shape, outputs, source.kind)
        if key not in checked:
            check_model(problem.model, shape, outputs, source.kind)
        checked.add(key)


def _players(problem: SuiteProblem, source: Source) -> int | None:
    """Return the number of players of a problem; None if it is not known before the problem is built."""
    from dvbench.problems.groups import check_groups
    from dvbench.problems.splits import rows_of_corpora

    if problem.groups is None or problem.groups.by == "column":
        return None
    if problem.groups.by == "classes" and source.kind == "regression":
        raise UserError(f"{problem.dataset} is a regression data set and has no classes to group by")
    check_groups(problem.groups, source, str(problem.dataset))
    if problem.groups.by == "corpora":
        return len(rows_of_corpora(source))
    return problem.groups.count or len(source.classes)


def _check_headline(task: Entry) -> None:
    """Raise a `UserError` if the source of a task shows that its headline is not among its metrics."""
    headline = task.definition.metadata["headline"]
    shown = [] if task.source is None else literal_keys(task.source, task.target.partition(":")[2], "Outcome")
    if wrong := [metrics for metrics in shown if headline not in metrics]:
        names = ", ".join(f"'{name}'" for name in sorted(wrong[0])) or "no metrics"
        raise UserError(f"task '{task.name}' returns no metric '{headline}', its headline; it returns {names}")


def _check_interface(entry: Entry) -> None:
    """Import an evaluator ``module:Class``, so that an error in its name is reported before anything runs."""
    loaded = entry.load()
    missing = [name for name in ("train", "evaluate_data_values") if not hasattr(loaded, name)]
    if isinstance(loaded, type) and missing:
        raise UserError(f"{entry.name} is no OpenDataVal DataEvaluator: it has no {missing[0]}()")


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
    return plan.model_copy(update={"cells": (*kept, *plan.cells)})


def problem_of(cell: Cell) -> str:
    """Return the settings of a cell's problem and model as text; equal texts mean equal problems."""
    return json.dumps(cell.problem.model_dump(mode="json"), sort_keys=True)
