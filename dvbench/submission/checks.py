"""What is wrong with a submission whose form is in order: what it left out, whose name it bears, what looks odd."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from pydantic import ValidationError

from dvbench.errors import UserError, describe_error
from dvbench.execution.planning import make_plan
from dvbench.execution.resume import task_versions
from dvbench.registry import entries, find, suite_files
from dvbench.results import Cell, CellKey, Plan, Result, Store, Submission
from dvbench.settings import EvaluatorSettings
from dvbench.submission.bundle import Bundle
from dvbench.submission.plain_text import counted, plain
from dvbench.suite import Suite, load_suite

EVALUATOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_]*)?")
SAME = str.maketrans("015i", "olsl", "_-.+")
FEW = 10  # distinct values: a share of one in so many players is worth a remark
NAMED = 3


def planned_cells(suite: str, evaluator: EvaluatorSettings) -> Plan:
    """What an evaluator has to compute in a suite that comes with dvbench: all of its problems and seeds.

    Raises
    ------
    UserError
        If there is no such suite, or the evaluator cannot be in it.
    """
    if suite not in suite_files():  # and not a path of the submitter's
        raise UserError(f"'{suite}' is no suite that comes with dvbench: {', '.join(suite_files())}")
    shipped = load_suite(suite)
    own = {each.title: each for each in shipped.evaluators}.get(evaluator.title, evaluator)
    if own != evaluator:
        raise UserError(f"in suite '{suite}' {evaluator.title} has other settings; give yours a label of its own")
    if evaluator.kind != shipped.kind:
        raise UserError(f"suite '{suite}' has {shipped.kind}, and {evaluator.title} is none of these")
    try:
        return make_plan(Suite.model_validate({**shipped.model_dump(), "evaluators": [evaluator.model_dump()]}))
    except ValidationError as error:
        raise UserError(f"suite '{suite}': {describe_error(error)}") from error


def check_plans(submission: Submission) -> None:
    """Refuse plans that are not those of dvbench's suites: nobody chooses problems or seeds.

    Raises
    ------
    UserError
    """
    suites = [plan.suite for plan in submission.plans]
    if len(set(suites)) != len(suites):
        raise UserError("two of its plans are of one suite")
    for plan in submission.plans:
        titles = {cell.key.evaluator for cell in plan.cells} | {cell.evaluator.title for cell in plan.cells}
        if titles != {submission.evaluator}:
            raise UserError(f"its plan of suite '{plan.suite}' is not {submission.evaluator}'s alone")
        if not all(EVALUATOR.fullmatch(cell.evaluator.name) for cell in plan.cells):
            raise UserError("an evaluator is a registered name, or module:Class")
        expected = planned_cells(plan.suite, plan.cells[0].evaluator)
        if plan.suite_version != expected.suite_version:
            raise UserError(
                f"it has results of version {plan.suite_version} of suite '{plan.suite}', which is at version "
                f"{expected.suite_version} here; run it again"
            )
        if plan != expected:
            raise UserError(f"its plan of suite '{plan.suite}' is not that suite's: cells differ, or are left out")


def check_cells(bundle: Bundle) -> None:
    """Refuse results that no plan asks for, or that were computed in another way.

    Raises
    ------
    UserError
    """
    planned = {cell.key.folder: cell for plan in bundle.plans for cell in plan.cells}
    for result in bundle.results():
        cell = planned.get(result.cell.key.folder)
        fault = "no plan asks for it" if cell is None else fault_of(result, cell)
        if fault:
            raise UserError(f"'{result.cell.key.folder}': {fault}")


def fault_of(result: Result, cell: Cell) -> str | None:
    """Why a result cannot stand for a planned cell, or None."""
    if result.cell != cell:
        return "it was run with other settings or tasks than its suite's; run it again as 'dvbench run' has it"
    extra, missing = set(result.scores) - set(cell.tasks), set(cell.tasks) - set(result.scores)
    if extra:
        return f"it has a score of {min(extra)}, which its suite does not ask for"
    if result.status == "ok" and missing:
        return f"it has no score of {min(missing)}; run it again"
    for name, version in task_versions(cell).items():
        score = result.scores.get(name)
        if score is not None and score.version != version:
            return f"it was scored by version {score.version} of {name}, which is at version {version}; run it again"
    return None


def check_identity(bundle: Bundle, landed: Store | None = None) -> None:
    """Refuse names that pass for another's: lookalikes, and the same name for something else.

    Parameters
    ----------
    bundle : Bundle
        With a submission.
    landed : Store, optional
        Where it is to land.

    Raises
    ------
    UserError
    """
    submission = bundle.submission
    assert submission is not None
    title, settings = submission.evaluator, bundle.plans[0].cells[0].evaluator
    known = _known_titles() | ({each.evaluator for each in landed.submissions()} if landed else set())
    for other in sorted(known - {title}):
        if confusable_form(other) == confusable_form(title):
            raise UserError(f"{title} looks like {other}, which exists already; give it a label of its own")
    objects = {_object_key(result.evaluator_object): result.evaluator_object for result in bundle.results()}
    if len(objects) > 1:
        raise UserError(f"its results are those of several evaluators: {', '.join(sorted(objects.values()))}")
    for expected in _objects(title, settings):
        if set(objects) != {_object_key(expected)}:
            raise UserError(
                f"{title} is {expected}, and its results are those of {min(objects.values())}; give it another label"
            )
    if landed:
        _check_landing(submission, min(objects.values()), landed)


def _object_key(target: str) -> str:
    """A ``module:attribute`` for comparison, without the attribute if that is named like the module.

    OpenDataVal's evaluators were functions, ``evaluators.baselines.data_shapley:data_shapley``, before they were
    classes, ``:DataShapley``. Results of both are results of the same evaluator.
    """
    module, _, attribute = target.partition(":")
    same = attribute.replace("_", "").lower() == module.rpartition(".")[2].replace("_", "").lower()
    return module if same else target


def confusable_form(title: str) -> str:
    """A title as a reader who looks at it briefly sees it: equal skeletons, names that pass for each other."""
    return title.lower().translate(SAME).replace("rn", "m").replace("vv", "w")


def _known_titles() -> set[str]:
    shipped = {each.title for name in suite_files() for each in load_suite(name).evaluators}
    return {*shipped, *entries("evaluators"), *entries("unlearning")}


def _objects(title: str, settings: EvaluatorSettings) -> Iterator[str]:
    """What the name stands for here, as far as that is known: ``module:attribute``."""
    if ":" in settings.name:
        yield settings.name
    elif settings.name in entries(settings.kind):
        yield find(settings.kind, settings.name).target
    for name in suite_files():
        for each in load_suite(name).evaluators:
            if each.title == title:
                yield find(each.kind, each.name).target
    if title in entries(settings.kind):
        yield find(settings.kind, title).target


def _check_landing(submission: Submission, target: str, landed: Store) -> None:
    """Refuse to land over results that are not an earlier submission of the same evaluator."""
    title = submission.evaluator
    before = {each.evaluator: each for each in landed.submissions()}.get(title)
    there = next(landed.root.glob(f"*/*/{title}/seed-*/result.json"), None)
    if before is None:
        if there is not None:
            raise UserError(f"{landed.root} has results of {title} that were not submitted; give yours another label")
        return
    if before.about.code != submission.about.code:
        raise UserError(f"a {title} from {before.about.code} has landed in {landed.root}; give yours another label")
    for plan in before.plans:
        for result in landed.results(plan.suite):
            if result.cell.key.evaluator == title and _object_key(result.evaluator_object) != _object_key(target):
                raise UserError(f"{title} is {result.evaluator_object} in {landed.root}; give yours another label")


def remarks(bundle: Bundle, landed: Store | None = None) -> list[str]:
    """What is no fault and yet worth a look: missing and failed cells, and values that look odd."""
    lines = _missing(bundle)
    same: defaultdict[str, list[CellKey]] = defaultdict(list)
    versions = set()
    for result in bundle.results():
        key = result.cell.key
        versions.add(result.evaluator_version)
        if result.status == "failed":
            lines.append(f"failed: {key.folder}: {result.error}")
            continue
        same[result.arrays["values"].sha256].append(key)
        lines += [f"{key.folder}: {remark}" for remark in _odd(result, bundle.store)]
        lines += [f"{key.folder}: {name} failed: {score.error}" for name, score in result.scores.items() if score.error]
        lines += [f"{key.folder}: its values are those of {other}" for other in _copied(result, landed)]
        if "repeat" in result.arrays and result.arrays["repeat"].sha256 == result.arrays["values"].sha256:
            lines.append(f"{key.folder}: its second values are the first ones; --sample tells whether that is so")
    for keys in same.values():
        problems = {(key.problem, key.seed) for key in keys}
        if len(problems) > 1:
            lines.append(f"the same values in {counted(len(keys), 'cell')}, such as {keys[0].folder}, {keys[1].folder}")
    if len(versions) > 1 and bundle.submission:
        lines.append(f"results of {len(versions)} versions of the evaluator: {', '.join(sorted(versions))}")
    return [plain(line) for line in lines]


def _missing(bundle: Bundle) -> list[str]:
    there = {key.folder for key in bundle.keys}
    lines = []
    for plan in bundle.plans:
        missing = [cell.key.folder for cell in plan.cells if cell.key.folder not in there]
        if missing:
            named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
            lines.append(
                f"missing of suite '{plan.suite}': {len(missing)} of {counted(len(plan.cells), 'cell')}: {named}"
            )
    return lines


def _odd(result: Result, store: Store) -> Iterator[str]:
    values = store.array(result, "values")
    distinct = len(np.unique(values))
    if distinct == 1:
        yield "all values are the same"
    elif distinct * FEW <= len(values):
        yield f"only {distinct} distinct values for {len(values)} players"


def _copied(result: Result, landed: Store | None) -> Iterator[str]:
    """Other evaluators where it is to land that have the same values for the same problem and seed."""
    if landed is None:
        return
    key, digest = result.cell.key, result.arrays["values"].sha256
    for path in sorted((landed.root / key.suite / key.problem).glob(f"*/seed-{key.seed}/values.npy")):
        if path.parts[-3] != key.evaluator and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            yield path.parts[-3]
