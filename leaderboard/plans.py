"""Which suites a results folder has, and what is planned in each: the plan of the suite and those of submissions."""

from __future__ import annotations

import tomllib
from pathlib import Path

from dvbench.errors import UserError
from dvbench.registry import suite_files
from dvbench.results import Plan, Store, Submission
from dvbench.results.store import PLAN


def results_store(results: Path) -> Store:
    """Return the store of a results folder.

    Raises
    ------
    UserError
        If the folder does not exist.
    """
    if not results.is_dir():
        raise UserError(f"there is no results folder {results}: run a suite first, or give its folder with --results")
    return Store(results)


def suite_names(store: Store) -> list[str]:
    """Return the names of the suites that have a plan of their own or the plan of a submission that can be read."""
    submissions = [each for each in store.submission_files().values() if isinstance(each, Submission)]
    submitted = {plan.suite for submission in submissions for plan in submission.plans}
    return sorted({*store.suites(), *submitted})


def merged_plan(store: Store, suite: str) -> Plan:
    """Merge the plan of a suite with the plans of submissions to it.

    A cell that is in several plans is taken from the first: the plan of the suite precedes those of submissions. So
    are the roles of evaluators: no submission takes another evaluator off the ranking. Which trials count in the costs
    is said by the plan of the suite alone.

    Raises
    ------
    UserError
        If there is no plan of the suite, the plan belongs to another suite, or it plans no score.
    """
    submitted = [plan for submission in store.submissions(suite) for plan in submission.plans if plan.suite == suite]
    own = store.plan(suite)
    if own is None and not submitted:
        raise UserError(f"{store.root / suite} has no {PLAN}: run the suite '{suite}' first")
    first = own or max(submitted, key=lambda plan: plan.suite_version)
    plans = [first, *submitted]
    cells = {cell.key: cell for plan in reversed(plans) for cell in plan.cells}
    if {first.suite, *(key.suite for key in cells)} != {suite}:
        raise UserError(f"{store.root / suite} holds the plan of another suite, or an empty plan: move it away")
    if not any(cell.tasks for cell in cells.values()):
        raise UserError(f"the plan of suite '{suite}' has no task to score: run the suite again with tasks")
    order = {cell.key: None for plan in plans for cell in plan.cells}
    trials = own.trials if own is not None else None
    return first.model_copy(update={"cells": tuple(cells[key] for key in order), "trials": trials})


def seeds_of_suite(suite: str, version: int) -> int:
    """Return the number of seeds of an installed suite, of which results may have a part; 0 if it is not known."""
    path = suite_files().get(suite)
    try:
        known = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return 0
    seeds = known.get("seeds")
    return len(seeds) if known.get("version") == version and isinstance(seeds, list) else 0
