"""Verifies a bundle: its form, its plans and its name, every score, and some of its values."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dvbench.execution.environment import check_device
from dvbench.execution.run import SilentObserver, mirror_variable
from dvbench.results import Cell, Result, Score, Store
from dvbench.submission.bundle import Bundle, read_bundle, read_published, refusing
from dvbench.submission.checks import check_cells, check_identity, check_plans, remarks
from dvbench.submission.plain_text import counted, plain
from dvbench.submission.publish import How, publish
from dvbench.submission.recompute import Mismatch, differences, recompute, recounted, scorable, unknown_names
from dvbench.submission.rerun import check_evaluators, deviations, rerun, sample_cells

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
    """How a bundle is verified.

    Parameters
    ----------
    tolerance : float
        By how much a score may deviate, relative to itself where it is above 1, and a value, relative to their range.
    sample : int
        How many cells are valued again.
    into : Path, optional
        Results folder where it is to land.
    suites, evaluators : tuple of str
        Of published results, only these.
    trusted : tuple of str
        Evaluators and methods ``module:Name`` that may be imported.
    device : {"auto", "cpu", "cuda"}
    jobs : int, optional
        Number of worker processes; with 0, all is computed in this process. By default one for each core.
    mirror : Path, optional
        Folder with the layout of the Hugging Face hub, which is searched before the hub.
    """

    tolerance: float = 0.01
    sample: int = 0
    into: Path | None = None
    suites: tuple[str, ...] = ()
    evaluators: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    device: str = "cpu"
    jobs: int | None = 0
    mirror: Path | None = None

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
        ``failed``, or are ``left as claimed``.
    """

    mismatches: tuple[Mismatch, ...]
    counts: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether there is no mismatch."""
        return not self.mismatches


@dataclass
class _Recomputation:
    """Mismatches, how each cell without a mismatch was verified, and the scores that were computed again."""

    mismatches: list[Mismatch] = field(default_factory=list)
    how: dict[str, How] = field(default_factory=dict)
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)


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
    say = _printable(say)
    with mirror_variable(options.mirror), tempfile.TemporaryDirectory(prefix="dvbench-") as scratch:
        bundle = _read(path, options, Path(scratch, "bundle"))
        with refusing(path, bundle.store.root):
            _check(bundle, into)
        say(f"{path}: {counted(len(bundle.keys), 'cell')}, whole and as planned")
        for line in remarks(bundle, into):
            say(f"remark: {line}")
        outcome = _recomputed(bundle, options, Path(scratch, "scores"), say, reporting)
        for mismatch in outcome.mismatches[:SHOWN]:
            say(f"mismatch: {mismatch}")
        if len(outcome.mismatches) > SHOWN:
            say(f"and {len(outcome.mismatches) - SHOWN} more")
        if into and not outcome.mismatches:
            publish(bundle, into, outcome.how, outcome.scores)
            say(f"landed in {into.root}" if bundle.submission else f"recorded in {into.root}")
        verification = Verification(tuple(outcome.mismatches), _counts(bundle, outcome))
        say(_summary(verification))
    return verification


def _printable(say: Say) -> Say:
    """Whatever strangers wrote."""
    return lambda line: say(plain(line, 2000))


def _read(path: Path, options: Options, folder: Path) -> Bundle:
    if path.is_dir():
        return read_published(path, folder, options.suites, options.evaluators)
    return read_bundle(path, folder)


def _check(bundle: Bundle, into: Store | None) -> None:
    if bundle.submission:
        check_plans(bundle.submission)
    check_cells(bundle)
    if bundle.submission:
        check_identity(bundle, into)


def _recomputed(bundle: Bundle, options: Options, scratch: Path, say: Say, reporting: Reporting) -> _Recomputation:
    """Score everything again that can be scored here, and value what is drawn."""
    outcome, there = _Recomputation(), {key.folder for key in bundle.keys}
    planned = [cell for plan in bundle.plans for cell in plan.cells if cell.key.folder in there]
    valued = [cell for cell in planned if bundle.result(cell.key).status == "ok"]
    cells = [cell for cell in valued if scorable(cell, options.trusted)]
    left = [cell for cell in valued if not scorable(cell, options.trusted)]
    for name in sorted({name for cell in left for name in unknown_names(cell, options.trusted)}):
        hint = f"read its code, and add --trust {name}" if ":" in name else "it is not installed here"
        say(f"remark: scores that need {name} remain claims: {hint}")
    drawn = sample_cells(valued, options.sample)
    check_evaluators(bundle, drawn, options.trusted)
    say(f"recomputing the scores of {counted(len(cells), 'cell')}")
    with reporting(len(cells), len(cells)) as report:
        scored = recompute(bundle, cells, Store(scratch), options.device, options.processes, report.on_finished)
    for cell in cells:
        claimed = bundle.result(cell.key)
        wrong = [*differences(claimed, scored[cell.key.folder], options.tolerance), *recounted(bundle, claimed)]
        outcome.mismatches += wrong
        # A cell whose tasks all failed has nothing that was recomputed.
        if any(score.error is None for score in claimed.scores.values()):
            outcome.how[cell.key.folder] = "recomputed"
            outcome.scores[cell.key.folder] = scored[cell.key.folder].scores
    if drawn:
        _rerun(bundle, drawn, options, Store(scratch.with_name("values")), outcome, say, reporting)
    return outcome


def _rerun(
    bundle: Bundle,
    drawn: list[Cell],
    options: Options,
    scratch: Store,
    outcome: _Recomputation,
    say: Say,
    reporting: Reporting,
) -> None:
    say(f"valuing again: {', '.join(cell.key.folder for cell in drawn)}")
    with reporting(len(drawn), 0) as report:
        found = rerun(bundle, drawn, scratch, options.device, options.processes, report.on_finished)
    largest = 0.0
    for cell in drawn:
        claimed = bundle.result(cell.key)
        worst, wrong = deviations(bundle, claimed, found[cell.key.folder], scratch, options.tolerance)
        largest = max(largest, worst)
        outcome.mismatches += wrong
        outcome.how[cell.key.folder] = "re-run"
    say(f"largest deviation of a value: {largest:.3g} of the range of the values")


def _counts(bundle: Bundle, outcome: _Recomputation) -> dict[str, int]:
    how = list(outcome.how.values())
    failed = sum(result.status == "failed" for result in bundle.results())
    return {
        "cells": len(bundle.keys),
        "recomputed": len(how),
        "re-run": how.count("re-run"),
        "failed": failed,
        "left as claimed": len(bundle.keys) - len(how) - failed,
    }


def _summary(verification: Verification) -> str:
    cells = counted(verification.counts["cells"], "cell")
    counts = [f"{number} {what}" for what, number in verification.counts.items() if what != "cells"]
    return ", ".join([cells, *counts, f"{len(verification.mismatches)} mismatches"])
