"""Computes every score again from the submitted values, and compares; the evaluator is not needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import numpy as np

from dvbench.errors import plain
from dvbench.execution.limits import NO_LIMITS, Limits, TimedOutError, exceeded
from dvbench.execution.resume import named_modules
from dvbench.registry import Kind, entries, library_entries
from dvbench.results import Cell, CellKey, Result, Score, Store
from dvbench.submission.bundle import Bundle


@dataclass(frozen=True)
class Mismatch:
    """A claimed number that differs from the recomputed one.

    Parameters
    ----------
    key : CellKey
    what : str
        Such as ``point_removal.gap``.
    claimed, recomputed : object
    """

    key: CellKey
    what: str
    claimed: object
    recomputed: object

    def __str__(self) -> str:
        return plain(f"{self.key.folder}: {self.what}: claimed {self.claimed}, found {self.recomputed}")


def scorable(cell: Cell, trusted: Iterable[str] = ()) -> bool:
    """Whether the scores of a cell can be computed again here.

    Tasks of unlearning methods run the method again, so it must be registered or trusted by name: other
    ``module:Name`` of a submission are not imported. The same is true of the data set and the model of the problem.
    """
    return not (unknown_names(cell, trusted) if cell.evaluator.kind == "unlearning" else unknown_parts(cell, trusted))


def unknown_names(cell: Cell, trusted: Iterable[str] = ()) -> list[str]:
    """List the names that a cell would import and that are neither registered nor trusted."""
    allowed = {*trusted, *entries(cell.evaluator.kind), *library_entries(cell.evaluator.kind)}
    imported = (cell.evaluator.name, *named_modules(cell.evaluator.params))
    return [*unknown_parts(cell, trusted), *(name for name in imported if name not in allowed)]


def unknown_parts(cell: Cell, trusted: Iterable[str] = ()) -> list[str]:
    """List the data set and the model of a cell if they are neither registered nor trusted."""
    kinds: dict[Kind, str] = {"datasets": cell.problem.dataset.name, "models": cell.problem.model.name}
    return [name for kind, name in kinds.items() if name not in {*trusted, *entries(kind), *library_entries(kind)}]


def recompute(
    bundle: Bundle,
    cells: Sequence[Cell],
    scratch: Store,
    device: str,
    jobs: int,
    on_scored: Callable[[Result], None] = lambda _: None,
    limits: Limits = NO_LIMITS,
    budget: float | None = None,
) -> dict[str, Result]:
    """Score cells again, those of one problem and seed together, so that each coalition is trained once.

    Parameters
    ----------
    bundle : Bundle
    cells : sequence of Cell
        Cells whose results are ok.
    scratch : Store
        An empty store, to which the cells are copied without their scores.
    device : str
    jobs : int
        Number of worker processes; with 0, everything is computed in this process.
    on_scored : callable, optional
        Called with each result.
    limits : Limits, optional
        Limits of a cell; a task that exceeds them has failed.
    budget : float, optional
        Seconds after which no more cells are scored.

    Returns
    -------
    dict of str to Result
        By the cell's folder; without those that there was no time for.

    Raises
    ------
    UserError
        If a data set is not available, which is no mismatch.
    """
    from dvbench.execution.run import score_saved_values
    from dvbench.problems.build import load_source

    for dataset in {str(cell.problem.dataset): cell.problem.dataset for cell in cells}.values():
        load_source(dataset)
    for cell in cells:
        claimed = bundle.result(cell.key)
        arrays = bundle.store.arrays(claimed)
        scratch.write(claimed.model_copy(update={"scores": {}}), arrays)
    return collected(score_saved_values(cells, scratch, device, jobs, limits), on_scored, budget)


def collected(
    stream: Generator[Result], on_result: Callable[[Result], None], budget: float | None = None
) -> dict[str, Result]:
    """Collect results by the folders of their cells, call ``on_result`` with each, and close the stream at the end.

    After ``budget`` seconds no further result is awaited, nor after a limit of time that no cell could record.
    """
    results, started = {}, time.monotonic()
    with closing(stream), suppress(TimedOutError):
        for result in stream:
            on_result(result)
            results[result.cell.key.folder] = result
            if budget is not None and time.monotonic() - started > budget:
                break
    return results


def count_mismatches(bundle: Bundle, claimed: Result) -> Iterator[Mismatch]:
    """Check the number of distinct values that a result states."""
    count = claimed.diagnostics.get("distinct_values")
    recounted = float(len(np.unique(bundle.store.array(claimed, "values"))))
    if count is not None and count != recounted:
        yield Mismatch(claimed.cell.key, "distinct_values", count, recounted)


def differences(claimed: Result, recomputed: Result, tolerance: float) -> Iterator[Mismatch]:
    """Yield every difference between claimed and recomputed scores."""
    key = claimed.cell.key
    for name, before in claimed.scores.items():
        after = recomputed.scores.get(name)
        if before.error is not None:
            continue  # shown as failed, which is the worst rank
        if after is not None and exceeded(after.error):
            continue  # it remains claimed, which is said elsewhere
        if after is None:
            yield Mismatch(key, name, before.value, "that it needs a second valuation, which is missing")
        elif after.error is not None:
            yield Mismatch(key, name, before.value, f"that it fails: {after.error}")
        else:
            yield from (
                Mismatch(key, f"{name}.{what}", *pair) for what, *pair in _score_differences(before, after, tolerance)
            )


def headlines_agree(claimed: Result, recomputed: Result, tolerance: float) -> bool:
    """Whether the headline score of every task that was scored here differs by at most the tolerance."""
    pairs = [(claimed.scores[name], score) for name, score in recomputed.scores.items() if name in claimed.scores]
    return all(near(before.value, after.value, tolerance) for before, after in pairs if before.error is None)


def _score_differences(before: Score, after: Score, tolerance: float) -> Iterator[tuple[str, object, object]]:
    for what in ("version", "headline", "higher_is_better"):
        if getattr(before, what) != getattr(after, what):
            yield what, getattr(before, what), getattr(after, what)
    if before.ceiling is not None and not near(before.ceiling, after.ceiling, tolerance):
        yield "ceiling", before.ceiling, after.ceiling
    for name in sorted(before.metrics.keys() | after.metrics.keys()):
        pair = before.metrics.get(name), after.metrics.get(name)
        if not near(*pair, tolerance):
            yield name, *pair
    for name in sorted(before.axes.keys() | after.axes.keys()):
        if before.axes.get(name) != after.axes.get(name):
            yield f"axis of {name}", before.axes.get(name), after.axes.get(name)
    for name in sorted(before.curves.keys() | after.curves.keys()):
        curve, recomputed = before.curves.get(name), after.curves.get(name)
        if curve is None or recomputed is None or len(curve) != len(recomputed):
            yield name, _points(curve), _points(recomputed)
            continue
        for index, pair in enumerate(zip(curve, recomputed, strict=True)):
            if not near(*pair, tolerance):
                yield f"{name}[{index}]", *pair


def _points(curve: list[float] | None) -> str:
    return "no curve" if curve is None else f"{len(curve)} points"


def near(claimed: float | None, recomputed: float | None, tolerance: float) -> bool:
    """Whether two numbers agree; the tolerance is relative for claimed numbers above 1."""
    if claimed is None or recomputed is None:
        return claimed is recomputed
    return abs(claimed - recomputed) <= tolerance * max(1.0, abs(claimed))
