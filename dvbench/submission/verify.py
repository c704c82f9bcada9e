"""Verifies a bundle: its form, its plans and its name, every score, and a sample of its values."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from dvbench.errors import UserError, counted, plain
from dvbench.execution.environment import check_device, current_environment, resolve_device
from dvbench.execution.limits import exceeded
from dvbench.execution.run import SilentObserver, mirror_variable
from dvbench.results import Cell, Environment, FreshRun, How, Result, Score, Store
from dvbench.submission import machines
from dvbench.submission.bounds import (
    CELL_SECONDS,
    CELLS_PER_BUNDLE,
    exceeded_tasks,
    limits_of_cell,
    too_many_steps,
)
from dvbench.submission.bundle import Bundle, read_bundle, read_published, refusing
from dvbench.submission.checks import NAMED, check_cells, check_identity, check_plans, remarks
from dvbench.submission.fresh import choose_secret, commitment, fresh_cells, fresh_seeds, run_fresh
from dvbench.submission.fresh import summary as gap_summary
from dvbench.submission.publish import FRESH, publish
from dvbench.submission.recompute import Mismatch, count_mismatches, differences, recompute, scorable, unknown_names
from dvbench.submission.rerun import Comparison, check_evaluators, rerun, sample_cells

SHOWN = 50
Say = Callable[[str], None]


class ProgressObserver(Protocol):
    """Receives the results of cells that are computed again; see `dvbench.execution.run.RunObserver`."""

    def on_finished(self, result: Result) -> None:
        """Receive the result of a cell that is scored, or whose valuation failed."""


Reporting = Callable[[int, int], AbstractContextManager[ProgressObserver]]


def no_reporting(total: int, valued: int = 0) -> AbstractContextManager[ProgressObserver]:
    """Show no progress."""
    return nullcontext(SilentObserver())


@dataclass(frozen=True)
class Options:
    """Options of a verification.

    Parameters
    ----------
    tolerance : float, optional
        Largest deviation that is not a mismatch; relative for scores above 1, and for values relative to their range.
        By default `machines.SAME_MACHINE`, or `machines.OTHER_MACHINE` for results from another kind of machine.
    sample : int
        Number of cells that are valued again.
    into : Path, optional
        Results folder that the bundle is copied to if there is no mismatch.
    suites, evaluators : tuple of str
        Verify only these of a results folder; by default all.
    trusted : tuple of str
        Evaluators and unlearning methods, as ``module:Name``, that may be imported.
    device : {"auto", "cpu", "cuda"}
    jobs : int, optional
        Number of worker processes; with 0, everything is computed in this process. None means one for each core.
    mirror : Path, optional
        Folder with the layout of the Hugging Face hub, which is searched before the hub.
    cell_timeout : float
        Seconds in which a cell must be scored, and valued if it is valued again; the scores of a bundle have four times
        as long. What takes longer remains claimed.
    fresh_seeds : int
        Number of seeds, derived from a secret, on which every problem is valued and scored too.
    secret : str, optional
        By default one of the operating system.
    all_remarks : bool
        Whether all remarks of one kind are listed; by default the first ones, and how many there are.
    only_claimed : bool
        Leave out the scores of cells that are recorded in ``into`` as verified and have not changed since.
    """

    tolerance: float | None = None
    sample: int = 0
    into: Path | None = None
    suites: tuple[str, ...] = ()
    evaluators: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    device: str = "cpu"
    jobs: int | None = 0
    mirror: Path | None = None
    cell_timeout: float = CELL_SECONDS
    fresh_seeds: int = 0
    secret: str | None = None
    all_remarks: bool = False
    only_claimed: bool = False

    @property
    def processes(self) -> int:
        """Number of worker processes."""
        return os.cpu_count() or 1 if self.jobs is None else self.jobs


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Parameters
    ----------
    mismatches : tuple of Mismatch
        Numbers that differ from those that were computed again.
    counts : dict of str to int
        Number of ``cells``; of those that were ``recomputed`` from their values, ``re-run`` with their evaluator, are
        ``failed``, or are ``left as claimed``. With fresh seeds, also of those ``re-run on fresh seeds``, and of those
        that were ``verified before``, if they are left out.
    """

    mismatches: tuple[Mismatch, ...]
    counts: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether there is no mismatch."""
        return not self.mismatches


def verify(path: Path, options: Options, say: Say, reporting: Reporting = no_reporting) -> Verification:
    """Verify a bundle, and copy it to a results folder if that is asked for and there is no mismatch.

    The copy has the scores that were computed here, so that nobody can choose a number within the tolerance.

    Parameters
    ----------
    path : Path
        A ``.zip``, the ``submissions/NAME.json`` of a results folder, or a results folder.
    options : Options
    say : callable
        Called with each line that is to be shown.
    reporting : callable
        Called with the number of cells, and with how many of them are valued; returns a context manager of what shows
        progress.

    Returns
    -------
    Verification

    Raises
    ------
    UserError
        If the bundle is refused.
    """
    check_device(options.device)
    into = Store(options.into) if options.into else None
    if options.secret is not None and not options.fresh_seeds:
        raise UserError("a secret is for fresh seeds: say how many, as in --fresh-seeds 3")
    if options.only_claimed and into is None:
        raise UserError("--only-claimed leaves out what a results folder records as verified: name it with --into")
    options = replace(options, secret=choose_secret(options.secret, into))
    say = _printable(say)
    with mirror_variable(options.mirror), tempfile.TemporaryDirectory(prefix="dvbench-") as scratch:
        bundle = _read(path, options, Path(scratch, "bundle"))
        with refusing(path, bundle.store.root):
            _check(bundle, into)
        say(f"{path}: {counted(len(bundle.keys), 'cell')}, each whole and as planned")
        for line in remarks(bundle, into or _beside(path), None if options.all_remarks else NAMED):
            say(f"remark: {line}")
        recomputation = _Recomputation(bundle, options, Path(scratch), say, reporting)
        recomputation.run()
        mismatches = recomputation.mismatches
        for mismatch in mismatches[:SHOWN]:
            say(f"mismatch: {mismatch}")
        if len(mismatches) > SHOWN:
            say(f"and {len(mismatches) - SHOWN} more")
        if into and not mismatches:
            publish(bundle, into, recomputation.how, recomputation.scores, recomputation.fresh)
            say(f"copied to {into.root}" if bundle.submission else f"recorded in {into.root}")
        verification = Verification(tuple(mismatches), _counts(bundle, recomputation))
        say(_summary(verification))
    return verification


def _printable(say: Say) -> Say:
    """Make untrusted texts printable before they are said."""
    return lambda line: say(plain(line, 2000))


def _read(path: Path, options: Options, folder: Path) -> Bundle:
    if path.is_dir():
        return read_published(path, folder, options.suites, options.evaluators)
    return read_bundle(path, folder, check_plans)


def _beside(path: Path) -> Store | None:
    """Return the results folder that a bundle lies in, if it is no archive."""
    if path.is_dir():
        return Store(path)
    return Store(path.parent.parent) if path.suffix == ".json" else None


def _check(bundle: Bundle, into: Store | None) -> None:
    check_cells(bundle)
    if bundle.submission:
        check_identity(bundle, into)


@dataclass
class _Recomputation:
    """Computes scores and values of a bundle again, and compares.

    ``how`` says how each cell was verified, by its folder, ``before`` which of them were so before and are left out,
    ``scores`` are the recomputed scores, and ``fresh`` the runs on fresh seeds, by suite and evaluator.
    """

    bundle: Bundle
    options: Options
    scratch: Path
    say: Say
    reporting: Reporting
    mismatches: list[Mismatch] = field(default_factory=list)
    how: dict[str, How] = field(default_factory=dict)
    before: set[str] = field(default_factory=set)
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    fresh: dict[tuple[str, str], FreshRun] = field(default_factory=dict)

    def run(self) -> None:
        """Score all cells again that can be scored here, and value a sample of cells again."""
        bundle, trusted = self.bundle, self.options.trusted
        submitted = {key.folder for key in bundle.keys}
        planned = [cell for plan in bundle.plans for cell in plan.cells if cell.key.folder in submitted]
        valued = [cell for cell in planned if bundle.result(cell.key).status == "ok"]
        claimed_only = [cell for cell in valued if not scorable(cell, trusted)]
        for name in sorted({name for cell in claimed_only for name in unknown_names(cell, trusted)}):
            hint = f"read its code, and add --trust {name}" if ":" in name else "it is not installed here"
            self.say(f"remark: scores that need {name} remain claimed: {hint}")
        valued = self._without_excess(valued)
        sample = sample_cells(valued, self.options.sample)
        check_evaluators(bundle, sample, trusted)
        fresh = self._fresh_cells(valued)
        here = current_environment(resolve_device(self.options.device))
        if said := machines.remark([bundle.result(cell.key) for cell in valued], here):
            self.say(f"remark: {said}")
        if self.options.only_claimed and self.options.into:
            self.before = self._verified_before(Store(self.options.into))
            self.how |= dict.fromkeys(self.before, "recomputed")  # publishing keeps a stronger mark
        to_score = [cell for cell in valued if scorable(cell, trusted) and cell.key.folder not in self.before]
        self._compare_scores(to_score, here)
        if sample:
            self._compare_values(sample, here)
        if fresh:
            self._run_fresh(fresh)

    def _verified_before(self, into: Store) -> set[str]:
        """Return the folders of cells that were verified and have not changed since."""
        known = set[str]()
        pairs = {(key.suite, key.evaluator) for key in self.bundle.keys}
        records = {pair: into.verified(*pair) for pair in pairs}
        for key in self.bundle.keys:
            record = records[key.suite, key.evaluator]
            if record and record.cell(key.problem, key.seed, self.bundle.sha256(key)):
                known.add(key.folder)
        return known

    def _without_excess(self, cells: list[Cell]) -> list[Cell]:
        """Leave out cells whose unlearning method would compute too much, and say why their scores remain claimed."""
        known = [cell for cell in cells if scorable(cell, self.options.trusted)]
        reasons = {cell.key.folder: reason for cell in known if (reason := too_many_steps(cell))}
        for folder, reason in reasons.items():
            self.say(f"remark: {folder}: its scores remain claimed: {reason}")
        return [cell for cell in cells if cell.key.folder not in reasons]

    def _compare_scores(self, cells: list[Cell], here: Environment) -> None:
        bundle, options = self.bundle, self.options
        more = f"; {counted(len(self.before), 'cell')} were verified before" if self.before else ""
        self.say(f"recomputing the scores of {counted(len(cells), 'cell')}{more}")
        budget = CELLS_PER_BUNDLE * options.cell_timeout if bundle.submission else None
        limits, store = limits_of_cell(options.cell_timeout, options.processes), Store(self.scratch / "scores")
        with self.reporting(len(cells), len(cells)) as report:
            scored = recompute(
                bundle, cells, store, options.device, options.processes, report.on_finished, limits, budget
            )
        if left := len(cells) - len(scored):
            self.say(f"remark: {counted(left, 'cell')} remain claimed: there was no time to score them again")
        for cell in [cell for cell in cells if cell.key.folder in scored]:
            folder, claimed = cell.key.folder, bundle.result(cell.key)
            tolerance = machines.tolerance(options.tolerance, claimed.environment, here)
            self.mismatches += differences(claimed, scored[folder], tolerance)
            self.mismatches += count_mismatches(bundle, claimed)
            beyond = exceeded_tasks(claimed, scored[folder])
            for name, error in beyond.items():
                self.say(f"remark: {folder}: {name} remains claimed: {error}")
            # If all tasks of a cell failed, nothing was recomputed.
            if not beyond and any(score.error is None for score in claimed.scores.values()):
                self.how[folder] = "recomputed"
                self.scores[folder] = scored[folder].scores

    def _compare_values(self, cells: list[Cell], here: Environment) -> None:
        bundle, options, scratch = self.bundle, self.options, Store(self.scratch / "values")
        device, limits = resolve_device(options.device), limits_of_cell(options.cell_timeout, options.processes)
        self.say(f"valuing again: {', '.join(cell.key.folder for cell in cells)}")
        with self.reporting(len(cells), 0) as report:
            valued = rerun(bundle, cells, scratch, device, options.processes, report.on_finished, limits)
        comparisons = []
        for cell in cells:
            claimed, recomputed = bundle.result(cell.key), valued[cell.key.folder]
            if exceeded(recomputed.error):
                self.say(f"remark: {cell.key.folder}: its values remain claimed: {recomputed.error}")
                continue
            tolerance = machines.tolerance(options.tolerance, claimed.environment, here)
            comparison = Comparison(claimed, recomputed, tolerance)
            comparison.compare(bundle.store, scratch)
            comparisons.append(comparison)
            self.mismatches += comparison.mismatches
            if cell.key.folder in self.how:
                self.how[cell.key.folder] = "re-run"
            else:
                self.say(f"remark: {cell.key.folder}: its values repeat, but its scores remain claimed")
        if not comparisons:
            return
        largest = max(comparison.deviation for comparison in comparisons)
        self.say(f"largest deviation of a value: {largest:.3g} of the range of the values")
        if (lowest := min(comparison.correlation for comparison in comparisons)) < 1:
            self.say(f"lowest rank correlation of values from another kind of machine: {lowest:.3f}")

    def _fresh_cells(self, valued: list[Cell]) -> list[Cell]:
        """Make the cells of fresh seeds, for the suites of evaluators."""
        options, bundle = self.options, self.bundle
        if not options.fresh_seeds:
            return []
        judged = [cell for cell in valued if cell.evaluator.kind == "evaluators"]
        if not judged:
            raise UserError(
                "there are no values of evaluators, which fresh seeds are for; unlearning methods run within the tasks "
                "that judge them, and selection strategies while models are trained"
            )
        check_evaluators(bundle, judged, options.trusted, "--fresh-seeds")
        self.say(f"fresh seeds: {options.fresh_seeds}, of a secret with the SHA-256 {commitment(str(options.secret))}")
        return fresh_cells(judged, fresh_seeds(str(options.secret), options.fresh_seeds))

    def _run_fresh(self, cells: list[Cell]) -> None:
        bundle, options, device = self.bundle, self.options, resolve_device(self.options.device)
        self.say(f"valuing {counted(len(cells), 'cell')} of fresh seeds")
        with self.reporting(len(cells), 0) as report:
            self.fresh = run_fresh(
                bundle,
                cells,
                str(options.secret),
                Store(self.scratch / "fresh"),
                device,
                options.processes,
                report.on_finished,
                limits_of_cell(options.cell_timeout, options.processes),
            )
        self.say(f"fresh seeds: the secret is {options.secret}")
        for (suite, evaluator), run in self.fresh.items():
            self.say(f"{evaluator} in {suite}: {gap_summary(run)}")
            doubtful = run.doubts
            for problem, why in doubtful.items():
                self.say(f"remark: {suite}/{problem}/{evaluator} gets no mark of fresh seeds: {why}")
            for key in bundle.keys:
                if (
                    (key.suite, key.evaluator) == (suite, evaluator)
                    and key.problem not in doubtful
                    and key.folder in self.how
                ):
                    self.how[key.folder] = FRESH
        if bundle.submission:
            self.say(
                f"remark: the mark of fresh seeds is for public code that you have read: {bundle.submission.about.code}"
            )


def _counts(bundle: Bundle, recomputation: _Recomputation) -> dict[str, int]:
    how = recomputation.how
    fresh: dict[str, int] = {FRESH: list(how.values()).count(FRESH)} if recomputation.fresh else {}
    before = {"verified before": len(recomputation.before)} if recomputation.before else {}
    statuses = Counter(result.status for result in bundle.results())
    declined = {"declined": statuses["declined"]} if statuses["declined"] else {}
    return {
        "cells": len(bundle.keys),
        "recomputed": len(how) - len(recomputation.before),
        **before,
        "re-run": list(how.values()).count("re-run"),
        **fresh,
        "failed": statuses["failed"],
        **declined,
        "left as claimed": len(bundle.keys) - len(how) - statuses["failed"] - statuses["declined"],
    }


def _summary(verification: Verification) -> str:
    cells = counted(verification.counts["cells"], "cell")
    counts = [f"{number} {name}" for name, number in verification.counts.items() if name != "cells"]
    return ", ".join([cells, *counts, f"{len(verification.mismatches)} mismatches"])
