"""Checks of a submission whose form is valid: its plans, its cells, its name, and remarks on unusual results."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from pydantic import ValidationError

from dvbench.errors import UserError, counted, plain, validation_message
from dvbench.execution.planning import make_plan
from dvbench.execution.resume import task_versions
from dvbench.execution.value_remarks import second_values_equal, tied_values
from dvbench.registry import entries, find, library_entries, suite_files
from dvbench.results import Cell, CellKey, Plan, Result, Store, Submission
from dvbench.settings import EvaluatorSettings
from dvbench.submission.bundle import Bundle
from dvbench.submission.suspicions import suspicions
from dvbench.suite import Suite, load_suite

EVALUATOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_]*)?")
SAME = str.maketrans("015i", "olsl", "_-.+")
NAMED = 3  # missing cells that are named, and remarks of one kind that are listed


def planned_cells(suite: str, evaluator: EvaluatorSettings) -> Plan:
    """Plan what an evaluator has to compute in a suite of dvbench: all of its problems and seeds.

    Raises
    ------
    UserError
        If there is no such suite, or the evaluator cannot be part of it.
    """
    if suite not in suite_files():  # a path of the submitter would be read otherwise
        raise UserError(f"'{suite}' is not a suite of dvbench: {', '.join(suite_files())}")
    shipped = load_suite(suite)
    expected = {settings.title: settings for settings in shipped.evaluators}.get(evaluator.title, evaluator)
    if expected != evaluator:
        raise UserError(f"in suite '{suite}' {evaluator.title} has other settings; give yours another label")
    if evaluator.kind != shipped.kind:
        raise UserError(f"suite '{suite}' has {shipped.kind}, and {evaluator.title} is not one of these")
    roles = {title: role for title, role in shipped.roles.items() if title == evaluator.title}
    alone = {"evaluators": [evaluator.model_dump()], "roles": roles}
    try:
        return make_plan(Suite.model_validate({**shipped.model_dump(), **alone}))
    except ValidationError as error:
        raise UserError(f"suite '{suite}': {validation_message(error)}") from error


def check_plans(submission: Submission) -> None:
    """Refuse plans that differ from those of the suites: submitters cannot choose problems or seeds.

    Raises
    ------
    UserError
    """
    suites = [plan.suite for plan in submission.plans]
    if len(set(suites)) != len(suites):
        raise UserError("two of its plans are of the same suite")
    for plan in submission.plans:
        titles = {cell.key.evaluator for cell in plan.cells} | {cell.evaluator.title for cell in plan.cells}
        if titles != {submission.evaluator}:
            raise UserError(f"its plan of suite '{plan.suite}' has other evaluators than {submission.evaluator}")
        if not all(EVALUATOR.fullmatch(cell.evaluator.name) for cell in plan.cells):
            raise UserError("the name of an evaluator is a registered name, or module:Class")
        expected = planned_cells(plan.suite, plan.cells[0].evaluator)
        if plan.suite_version != expected.suite_version:
            raise UserError(
                f"it has results of version {plan.suite_version} of suite '{plan.suite}', which is at version "
                f"{expected.suite_version} here; run it again"
            )
        if plan != expected:
            raise UserError(f"its plan differs from that of suite '{plan.suite}': cells differ, or are left out")


def check_cells(bundle: Bundle) -> None:
    """Refuse results that are not planned, or that were computed with other settings.

    Raises
    ------
    UserError
    """
    planned = {cell.key.folder: cell for plan in bundle.plans for cell in plan.cells}
    for result in bundle.results():
        cell = planned.get(result.cell.key.folder)
        fault = "it is not planned" if cell is None else fault_of(result, cell)
        if fault:
            raise UserError(f"'{result.cell.key.folder}': {fault}")


def fault_of(result: Result, cell: Cell) -> str | None:
    """Return why a result is not that of a planned cell, or None if it is."""
    if result.cell != cell:
        return "it was run with other settings or tasks than those of its suite; run it again with 'dvbench run'"
    extra, missing = set(result.scores) - set(cell.tasks), set(cell.tasks) - set(result.scores)
    if extra:
        return f"it has a score of {min(extra)}, which is not a task of its suite"
    if result.status == "ok" and missing:
        return f"it has no score of {min(missing)}; run it again"
    for name, version in task_versions(cell).items():
        score = result.scores.get(name)
        if score is not None and score.version != version:
            return f"it was scored by version {score.version} of {name}, whose version is {version} now; run it again"
    return None


def check_identity(bundle: Bundle, target: Store | None = None) -> None:
    """Refuse names that look like that of another evaluator, or that belong to another evaluator.

    Parameters
    ----------
    bundle : Bundle
        With a submission.
    target : Store, optional
        The results that the bundle is to be copied to.

    Raises
    ------
    UserError
    """
    submission = bundle.submission
    assert submission is not None
    title, settings = submission.evaluator, bundle.plans[0].cells[0].evaluator
    known = _known_titles() | ({earlier.evaluator for earlier in target.submissions()} if target else set())
    for other in sorted(known - {title}):
        if confusable_form(other) == confusable_form(title):
            raise UserError(f"{title} looks like {other}, which exists already; give it another label")
    objects = {_object_key(result.evaluator_object): result.evaluator_object for result in bundle.results()}
    if len(objects) > 1:
        raise UserError(f"its results are of several evaluators: {', '.join(sorted(objects.values()))}")
    for expected in _objects(title, settings):
        if set(objects) != {_object_key(expected)}:
            other = min(objects.values())
            raise UserError(f"{title} is the name of {expected}, but its results are of {other}; give it another label")
    if target:
        _check_earlier_results(submission, min(objects.values()), target)


def _object_key(target: str) -> str:
    """Return a ``module:attribute`` for comparison, without the attribute if it has the name of the module.

    The evaluators from OpenDataVal were functions, ``evaluators.baselines.data_shapley:data_shapley``, before they were
    classes, ``:DataShapley``. Results of both are results of the same evaluator. Other objects are compared unchanged.
    """
    module, _, attribute = target.partition(":")
    if not module.startswith("evaluators.baselines."):
        return target
    same = attribute.replace("_", "").lower() == module.rpartition(".")[2].replace("_", "").lower()
    return module if same else target


def confusable_form(title: str) -> str:
    """Replace characters and letters that look alike by one of them: names with equal forms are easily confused."""
    return title.lower().translate(SAME).replace("rn", "m").replace("vv", "w")


def _known_titles() -> set[str]:
    shipped = {settings.title for name in suite_files() for settings in load_suite(name).evaluators}
    libraries = {EvaluatorSettings(name=name).title for name in library_entries("evaluators")}
    return {*shipped, *libraries, *entries("evaluators"), *entries("unlearning"), *entries("selection")}


def _objects(title: str, settings: EvaluatorSettings) -> Iterator[str]:
    """Yield what is known here under this name, as ``module:attribute``."""
    if settings.name in entries(settings.kind) or settings.name in library_entries(settings.kind):
        yield find(settings.kind, settings.name).target
    elif ":" in settings.name:
        yield settings.name
    for name in suite_files():
        for shipped in load_suite(name).evaluators:
            if shipped.title == title:
                yield find(shipped.kind, shipped.name).target
    if title in entries(settings.kind):
        yield find(settings.kind, title).target


def _check_earlier_results(submission: Submission, evaluator_object: str, target: Store) -> None:
    """Refuse to replace results that are not from an earlier submission of the same evaluator."""
    title = submission.evaluator
    earlier = {other.evaluator: other for other in target.submissions()}.get(title)
    if earlier is None:
        if next(target.root.glob(f"*/*/{title}/seed-*/result.json"), None) is not None:
            raise UserError(f"{target.root} has results of {title} that were not submitted; give yours another label")
        return
    if earlier.about.code != submission.about.code:
        raise UserError(f"{target.root} has a {title} from {earlier.about.code}; give yours another label")
    for plan in earlier.plans:
        for result in target.results(plan.suite):
            if result.cell.key.evaluator == title and _object_key(result.evaluator_object) != _object_key(
                evaluator_object
            ):
                raise UserError(f"{title} is {result.evaluator_object} in {target.root}; give yours another label")


def remarks(bundle: Bundle, others: Store | None = None, most: int | None = None) -> list[str]:
    """List what is not a fault but should be looked at: missing and failed cells, and unusual values.

    Parameters
    ----------
    bundle : Bundle
    others : Store, optional
        Values are compared with those of the other evaluators here.
    most : int, optional
        How many remarks of one kind are listed; the others are counted. By default all.
    """
    kinds = defaultdict[str, list[str]](list, missing=_missing(bundle))
    same: defaultdict[str, list[CellKey]] = defaultdict(list)
    repeated: defaultdict[tuple[str, str], list[CellKey]] = defaultdict(list)
    versions = set()
    for result in bundle.results():
        key = result.cell.key
        versions.add(result.evaluator_version)
        if result.status != "ok":
            kinds[result.status].append(f"{result.status}: {key.folder}: {result.error}")
            continue
        same[result.arrays["values"].sha256].append(key)
        values = bundle.store.array(result, "values")
        if result.cell.evaluator.kind != "selection":  # how often a point was chosen is tied by nature
            tied = tied_values(len(np.unique(values)), len(values))
            kinds["tied"] += [f"{key.folder}: {remark}" for remark in tied]
        failed = {name: score.error for name, score in result.scores.items() if score.error}
        kinds["failed tasks"] += [f"{key.folder}: {name} failed: {error}" for name, error in failed.items()]
        if second_values_equal(result):
            repeated[key.suite, key.evaluator].append(key)
    kinds["repeated"] = [
        f"{suite}/{evaluator}: the second values equal the first in {counted(len(keys), 'cell')}, such as "
        f"{keys[0].folder}: they do not depend on the evaluator's seed, or are copies; --sample checks them"
        for (suite, evaluator), keys in repeated.items()
    ]
    for keys in same.values():
        problems = {(key.problem, key.seed) for key in keys}
        if len(problems) > 1:
            first = ", ".join(key.folder for key in keys[:2])
            kinds["same"].append(f"the same values in {counted(len(keys), 'cell')}, such as {first}")
    if len(versions) > 1 and bundle.submission:
        kinds["versions"] = [f"results of {len(versions)} versions of the evaluator: {', '.join(sorted(versions))}"]
    kinds |= suspicions(bundle, others)
    return [plain(line) for lines in kinds.values() for line in _first(lines, most)]


def _first(lines: list[str], most: int | None) -> list[str]:
    """Return the first lines, and how many more there are."""
    if most is None or len(lines) <= most + 1:  # a line that says "1 more" is not shorter
        return lines
    return [*lines[:most], f"and {len(lines) - most:,} more remarks of this kind; --all-remarks lists them"]


def _missing(bundle: Bundle) -> list[str]:
    submitted = {key.folder for key in bundle.keys}
    lines = []
    for plan in bundle.plans:
        missing = [cell.key.folder for cell in plan.cells if cell.key.folder not in submitted]
        if missing:
            named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
            lines.append(
                f"missing of suite '{plan.suite}': {len(missing)} of {counted(len(plan.cells), 'cell')}: {named}"
            )
    return lines
