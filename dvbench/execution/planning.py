"""From a suite and what the user asked of it to the cells that are to be run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dvbench.errors import UserError, describe_error, one_line
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
    evaluators: Sequence[str] = (),
    datasets: Sequence[str] = (),
    tasks: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
) -> Suite:
    """Restrict a suite, or widen it by evaluators and data sets that it does not name.

    Parameters
    ----------
    suite : Suite
    evaluators : sequence of str
        Keep these, by label or name; another registered one or a ``module:Class`` is added with its default settings.
        Unlearning methods in a suite of those.
    datasets : sequence of str
        Keep the problems of these; another one takes the place of the first problem's data set.
    tasks : sequence of str
        Keep these.
    seeds : sequence of int, optional
        Instead of the suite's.

    Returns
    -------
    Suite

    Raises
    ------
    UserError
        If something does not exist, or nothing is left.
    """
    chosen = [one for name in evaluators for one in _evaluators(suite, name)] if evaluators else suite.evaluators
    problems = [one for name in datasets for one in _problems(suite, name)] if datasets else list(suite.problems)
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
        "evaluators": tuple({one.title: one for one in chosen}.values()),
        "problems": tuple({one.model_dump_json(): one for one in problems}.values()),
        "seeds": tuple(seeds) if seeds is not None else suite.seeds,
    }
    plain = {key: [_plain(value) for value in values] for key, values in update.items()}
    try:
        return Suite.model_validate({**suite.model_dump(), **plain})
    except ValidationError as error:
        raise UserError(f"suite '{suite.name}': {describe_error(error)}") from error


def _plain(value: object) -> object:
    return value.model_dump() if isinstance(value, EvaluatorSettings | SuiteProblem) else value


def _evaluators(suite: Suite, name: str) -> list[EvaluatorSettings]:
    labelled = [one for one in suite.evaluators if one.title == name]
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
    found = [one for one in suite.evaluators if one.name == canonical]
    return found or [EvaluatorSettings(kind=suite.kind, name=canonical)]


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
    """The label of a problem that has another data set now."""
    if problem.label is None:
        return None
    before, after = str(problem.dataset), dataset.title
    return problem.label.replace(before, after) if before in problem.label else f"{after}-{problem.label}"


def check(suite: Suite) -> None:
    """Find what cannot work before anything runs: unknown names and parameters, tasks that a problem cannot have.

    Every data set is loaded once, which also fetches it.

    Raises
    ------
    UserError
    """
    from dvbench.problems.build import check_noise, load_source
    from dvbench.problems.splits import check_texts
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
    """How many players a problem will have, as far as that is known before it is built."""
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


def _check_interface(entry: Entry) -> None:
    """Import a stranger's evaluator once, so that a slip in its name is found before anything runs."""
    found = entry.load()
    missing = [name for name in ("train", "evaluate_data_values") if not hasattr(found, name)]
    if isinstance(found, type) and missing:
        raise UserError(f"{entry.name} is no OpenDataVal DataEvaluator: it has no {missing[0]}()")


def merged(plan: Plan, before: Plan | None) -> Plan:
    """A plan with the cells of an earlier one that it does not name, unless their problem has other settings now."""
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
    """What a cell's problem is made of, and the model that is trained on it: equal texts, equal problems."""
    return json.dumps(cell.problem.model_dump(mode="json"), sort_keys=True)
