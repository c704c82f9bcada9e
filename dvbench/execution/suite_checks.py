"""Checks a suite before anything runs: names, parameters, and what the tasks of every problem need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dvbench.definitions import literal_keys
from dvbench.errors import UserError, one_line
from dvbench.execution.resume import task_metadata
from dvbench.registry import Entry, find, plural
from dvbench.settings import EvaluatorSettings
from dvbench.suite import Suite, SuiteProblem

if TYPE_CHECKING:
    from dvbench.problems.source import Source


def check_suite(suite: Suite) -> None:
    """Check that all names and parameters exist, and that every problem has what its tasks need.

    Every data set is loaded, which also downloads it.

    Raises
    ------
    UserError
        If the suite cannot work.
    """
    from dvbench.problems.build import load_source

    _check_evaluators(suite)
    datasets = {str(problem.dataset): problem.dataset for problem in suite.problems}
    sources = {title: load_source(dataset) for title, dataset in sorted(datasets.items())}
    grouped = {
        problem.title: load_source(problem.dataset, problem.groups.column)
        for problem in suite.problems
        if problem.groups is not None and problem.groups.column is not None
    }
    for problem in suite.problems:
        source = sources[str(problem.dataset)]
        find("models", problem.model.name).check_parameters({"shape", "outputs", *problem.model.params})
        for name in problem.tasks:
            _check_task(suite, problem, name, source)
        _check_data(suite, problem, source)
    _check_models(suite, {p.title: grouped.get(p.title, sources[str(p.dataset)]) for p in suite.problems})


def _check_evaluators(suite: Suite) -> None:
    """Check the names and parameters of evaluators and unlearning methods."""
    from dvbench.execution.evaluator_making import make_evaluator
    from dvbench.randomness import isolated_generators
    from dvbench.unlearning.factory import make_method

    for evaluator in suite.evaluators:
        if evaluator.kind == "unlearning":
            make_method(evaluator.name, **evaluator.params)
            continue
        if evaluator.kind == "selection":
            _check_strategy(suite, evaluator)
            continue
        entry = find("evaluators", evaluator.name)
        entry.check_parameters(evaluator.params)
        if ":" in evaluator.name:
            _check_interface(entry)
        if evaluator.params:  # its constructor checks their values, such as an unlearning method and its parameters
            with isolated_generators(0):
                make_evaluator(evaluator, 0)


def _check_strategy(suite: Suite, settings: EvaluatorSettings) -> None:
    """Check a selection strategy, and the evaluator whose values it needs."""
    from dvbench.selecting.factory import check_protocol, make_strategy

    strategy = make_strategy(settings.name, **settings.params)
    for problem in suite.problems:
        assert problem.selection is not None
        check_protocol(strategy, problem.selection, settings.name)
    if strategy.valued_by is not None:
        evaluator, params = strategy.valued_by
        find("evaluators", evaluator).check_parameters(params)


def _check_task(suite: Suite, problem: SuiteProblem, name: str, source: Source) -> None:
    """Check that a problem has what a task needs: players, noise, and unlearning methods to judge."""
    from dvbench.scoring.contract import check_players

    task_metadata(name)
    entry = find("tasks", name)
    _check_headline(entry)
    metadata: dict[str, Any] = entry.definition.metadata
    for key, kind in (("judges_unlearning", "unlearning"), ("judges_selection", "selection")):
        if metadata.get(key) and suite.kind != kind:
            raise UserError(
                f"suite '{suite.name}': {name} judges {plural(kind)}, and the suite has {plural(suite.kind)}"
            )
    if metadata.get("judges_unlearning") and problem.groups is None:
        raise UserError(
            f"suite '{suite.name}': {name} needs groups, such as groups = {{ by = \"classes\" }}, and "
            f"{problem.title} has none"
        )
    if (players := _players(problem, source)) is not None:
        try:
            check_players(players, metadata.get("min_players", 1), metadata.get("max_players"))
        except UserError as error:
            raise UserError(f"suite '{suite.name}': {name} on {problem.title}: {error}") from error
    noise = metadata.get("noise")
    if noise and problem.noise.kind != noise:
        raise UserError(
            f"suite '{suite.name}': {name} needs {noise} noise, and {problem.title} has {problem.noise.kind}"
        )


def _check_headline(task: Entry) -> None:
    """Raise a `UserError` if the source of a task shows that its headline is not among its metrics."""
    headline = task.definition.metadata["headline"]
    shown = [] if task.source is None else literal_keys(task.source, task.target.partition(":")[2], "Outcome")
    if wrong := [metrics for metrics in shown if headline not in metrics]:
        names = ", ".join(f"'{name}'" for name in sorted(wrong[0])) or "no metrics"
        raise UserError(f"task '{task.name}' returns no metric '{headline}', its headline; it returns {names}")


def _check_data(suite: Suite, problem: SuiteProblem, source: Source) -> None:
    """Check that a problem's noise and sizes suit its data set."""
    from dvbench.problems.build import check_noise
    from dvbench.problems.splits import check_texts

    if problem.noise.kind == "labels" and source.kind == "regression":
        raise UserError(
            f"{problem.dataset} is a regression data set and has no labels to flip; use noise of kind 'features', "
            "as with --task noisy_feature_detection"
        )
    check_noise(problem.noise, source, str(problem.dataset))
    if source.kind == "language":
        try:
            check_texts(source, problem.sizes)
        except UserError as error:
            raise UserError(f"suite '{suite.name}': {problem.title}: {error}") from error


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


def _check_interface(entry: Entry) -> None:
    """Import an evaluator ``module:Class``, so that an error in its name is reported before anything runs."""
    loaded = entry.load()
    missing = [name for name in ("train", "evaluate_data_values") if not hasattr(loaded, name)]
    if isinstance(loaded, type) and missing:
        raise UserError(f"{entry.name} is no OpenDataVal DataEvaluator: it has no {missing[0]}()")
