"""Runs evaluators on problems of fresh seeds, which derive from a secret that no submitter can know.

The SHA-256 of the secret is shown before anything is computed, and the secret stands in the record afterwards. So
submitters cannot prepare for the seeds, verifiers cannot choose them after they have seen scores, and anybody can
compute the same scores again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from dvbench.errors import UserError, counted
from dvbench.execution.failures import failure_reasons
from dvbench.execution.limits import NO_LIMITS, Limits
from dvbench.execution.resume import evaluator_version
from dvbench.results import Cell, FreshRun, FreshScore, Result, Store
from dvbench.submission.bundle import Bundle
from dvbench.submission.rerun import value_and_score
from dvbench.version import __version__

SHORTEST_SECRET = 32  # characters


def choose_secret(given: str | None, into: Store | None) -> str:
    """Return the given secret, or one of the operating system.

    Raises
    ------
    UserError
        If the secret is short, or not printable, or stands in a record of the target already.
    """
    if given is None:
        return secrets.token_hex(32)
    secret = given.strip()
    if not SHORTEST_SECRET <= len(secret) <= 1000 or not secret.isprintable():
        raise UserError(
            f"a secret is one line of at least {SHORTEST_SECRET} characters, for example of 'openssl rand -hex 32'"
        )
    if into is not None and commitment(secret) in {run.commitment for run in into.fresh_runs()}:
        raise UserError(f"a record in {into.root} has this secret, so others may know it; give another one, or none")
    return secret


def commitment(secret: str) -> str:
    """Return the SHA-256 of a secret, which is shown before it is used."""
    return hashlib.sha256(secret.encode()).hexdigest()


def fresh_seeds(secret: str, number: int) -> list[int]:
    """Derive seeds of 63 bits from a secret: the beginnings of the SHA-256 of ``secret:0``, ``secret:1``, ..."""
    digests = (hashlib.sha256(f"{secret}:{index}".encode()).digest() for index in range(number))
    return [int.from_bytes(digest[:8], "big") >> 1 for digest in digests]


def fresh_cells(cells: Iterable[Cell], seeds: Sequence[int]) -> list[Cell]:
    """Return cells of the same problems and evaluators with other seeds."""
    problems = {(cell.key.suite, cell.key.problem, cell.key.evaluator): cell for cell in cells}
    return [
        cell.model_copy(update={"key": cell.key.model_copy(update={"seed": seed})})
        for cell in problems.values()
        for seed in seeds
    ]


def run_fresh(
    bundle: Bundle,
    cells: Sequence[Cell],
    secret: str,
    scratch: Store,
    device: str,
    jobs: int,
    on_finished: Callable[[Result], None] = lambda _: None,
    limits: Limits = NO_LIMITS,
) -> dict[tuple[str, str], FreshRun]:
    """Value and score cells of fresh seeds, and compare their headline scores with those claimed.

    Parameters
    ----------
    bundle : Bundle
    cells : sequence of Cell
        Those of `fresh_cells`.
    secret : str
    scratch : Store
        An empty store.
    device : str
    jobs : int
    on_finished : callable, optional
        Called with each result.
    limits : Limits, optional
        Limits of one valuation, and of the scoring of a cell.

    Returns
    -------
    dict of (suite, evaluator) to FreshRun
    """
    results = value_and_score(cells, scratch, device, jobs, on_finished, limits)
    by_plan = defaultdict[tuple[str, str], list[Result]](list)
    for cell in cells:
        by_plan[cell.key.suite, cell.key.evaluator].append(results[cell.key.folder])
    return {which: _fresh_run(bundle, fresh, secret) for which, fresh in by_plan.items()}


def _fresh_run(bundle: Bundle, fresh: Sequence[Result], secret: str) -> FreshRun:
    first = fresh[0].cell
    keys = [key for key in bundle.keys if (key.suite, key.evaluator) == (first.key.suite, first.key.evaluator)]
    claimed = [bundle.result(key) for key in keys]
    seeds = {result.cell.key.seed for result in fresh}
    # Only problems that the evaluator claims to have valued are run, so that one it declines now is a failure.
    reasons = [(r.cell.key, failure_reasons(r) or ([str(r.error)] if r.status == "declined" else [])) for r in fresh]
    failed = {f"{key.problem}/seed-{key.seed}": why[0] for key, why in reasons if why}
    return FreshRun(
        commitment=commitment(secret),
        secret=secret,
        seeds=len(seeds),
        dvbench_version=__version__,
        evaluator_version=evaluator_version(first.evaluator),
        scores=_scores(claimed, fresh),
        failed=failed,
    )


def _scores(claimed: Sequence[Result], fresh: Sequence[Result]) -> tuple[FreshScore, ...]:
    pairs = {(result.cell.key.problem, task): None for result in fresh for task in result.cell.tasks}
    scores = []
    for problem, task in pairs:
        kinds = [
            [result.scores[task] for result in results if result.cell.key.problem == problem and task in result.scores]
            for results in (claimed, fresh)
        ]
        known = [score for score in (*kinds[1], *kinds[0]) if score.value is not None]
        if known:
            before, after = (tuple(s.value for s in kind if s.value is not None) for kind in kinds)
            direction = known[0].higher_is_better
            scores.append(
                FreshScore(
                    problem=problem,
                    task=task,
                    metric=known[0].headline,
                    higher_is_better=direction,
                    claimed=before,
                    fresh=after,
                )
            )
    return tuple(scores)


def summary(run: FreshRun) -> str:
    """Say how far claimed and fresh scores are apart."""
    if not run.gaps:
        return "no task has both claimed and fresh scores"
    worst = max(run.gaps, key=lambda name: run.gaps[name])
    return (
        f"claimed scores are better than those of {counted(run.seeds, 'fresh seed')} by {fmean(run.gaps.values()):.3g} "
        f"on average, and by {run.gaps[worst]:.3g} at most, in {worst}"
    )
