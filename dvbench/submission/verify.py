"""Verifies a bundle: its form, its plans and its name, every score, and some of its values."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dvbench import console
from dvbench.results import Cell, Score, Store
from dvbench.submission.bundle import Bundle, read_bundle, read_published, refusing
from dvbench.submission.checks import check_cells, check_identity, check_plans, remarks
from dvbench.submission.plain_text import counted, plain
from dvbench.submission.publish import How, publish
from dvbench.submission.recompute import Mismatch, count_mismatches, differences, recompute, scorable, unknown_names
from dvbench.submission.rerun import check_evaluators, deviations, rerun, sample_cells

SHOWN = 50
Say = Callable[[str], None]


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
    device : str
    jobs : int
        Processes; 0 for none but this one.
    """

    tolerance: float = 0.01
    sample: int = 0
    into: Path | None = None
    suites: tuple[str, ...] = ()
    evaluators: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    device: str = "cpu"
    jobs: int = 0


@dataclass
class Verification:
    """What was found: mismatches, how each cell that has none was verified, and the scores that were computed again."""

    mismatches: list[Mismatch] = field(default_factory=list)
    how: dict[str, How] = field(default_factory=dict)
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)


def verify(path: Path, options: Options, say: Say) -> bool:
    """Verify a bundle, say what was found, and let it land if that is asked for and nothing is wrong.

    What lands has the scores that were computed here: within the tolerance, nobody chooses.

    Parameters
    ----------
    path : Path
        A ``.zip``, the ``submissions/NAME.json`` of a results folder, or a results folder.
    options : Options
    say : callable
        Takes a line.

    Returns
    -------
    bool
        Whether all that is claimed was found.

    Raises
    ------
    UserError
        If the bundle is refused.
    """
    into = Store(options.into) if options.into else None
    say = _printable(say)
    with tempfile.TemporaryDirectory(prefix="dvbench-") as scratch:
        bundle = _read(path, options, Path(scratch, "bundle"))
        with refusing(path, bundle.store.root):
            _check(bundle, into)
        say(f"{path}: {counted(len(bundle.keys), 'cell')}, whole and as planned")
        for line in remarks(bundle, into):
            say(f"remark: {line}")
        try:
            outcome = _recomputed(bundle, options, Path(scratch, "scores"), say)
        except KeyboardInterrupt:
            console.err.print("interrupted: nothing has landed or was recorded")
            raise
        for mismatch in outcome.mismatches[:SHOWN]:
            say(f"mismatch: {mismatch}")
        if len(outcome.mismatches) > SHOWN:
            say(f"and {len(outcome.mismatches) - SHOWN} more")
        if into and not outcome.mismatches:
            publish(bundle, into, outcome.how, outcome.scores)
            say(f"landed in {into.root}" if bundle.submission else f"recorded in {into.root}")
        say(_counts(bundle, outcome))
    return not outcome.mismatches


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


def _recomputed(bundle: Bundle, options: Options, scratch: Path, say: Say) -> Verification:
    """Score everything again that can be scored here, and value what is drawn."""
    outcome, there = Verification(), {key.folder for key in bundle.keys}
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
    with console.reporting(len(cells), valued=len(cells)) as report:
        scored = recompute(bundle, cells, Store(scratch), options.device, options.jobs, report)
    for cell in cells:
        claimed = bundle.result(cell.key)
        wrong = [*differences(claimed, scored[cell.key.folder], options.tolerance), *count_mismatches(bundle, claimed)]
        outcome.mismatches += wrong
        # A cell whose tasks all failed has nothing that was recomputed.
        if any(score.error is None for score in claimed.scores.values()):
            outcome.how[cell.key.folder] = "recomputed"
            outcome.scores[cell.key.folder] = scored[cell.key.folder].scores
    if drawn:
        _rerun(bundle, drawn, options, Store(scratch.with_name("values")), outcome, say)
    return outcome


def _rerun(
    bundle: Bundle, drawn: list[Cell], options: Options, scratch: Store, outcome: Verification, say: Say
) -> None:
    say(f"valuing again: {', '.join(cell.key.folder for cell in drawn)}")
    with console.reporting(len(drawn)) as report:
        found = rerun(bundle, drawn, scratch, options.device, options.jobs, report)
    largest = 0.0
    for cell in drawn:
        claimed = bundle.result(cell.key)
        worst, wrong = deviations(bundle, claimed, found[cell.key.folder], scratch, options.tolerance)
        largest = max(largest, worst)
        outcome.mismatches += wrong
        outcome.how[cell.key.folder] = "re-run"
    say(f"largest deviation of a value: {largest:.3g} of the range of the values")


def _counts(bundle: Bundle, outcome: Verification) -> str:
    how = list(outcome.how.values())
    failed = sum(result.status == "failed" for result in bundle.results())
    left = len(bundle.keys) - len(how) - failed
    parts = [
        counted(len(bundle.keys), "cell"),
        f"{how.count('recomputed') + how.count('re-run')} recomputed",
        f"{how.count('re-run')} re-run",
        f"{failed} failed",
        f"{left} left as claimed",
        f"{len(outcome.mismatches)} mismatches",
    ]
    return ", ".join(parts)
