"""Computes every score again from the submitted values, and compares; the evaluator itself is not needed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from dvbench.registry import entries
from dvbench.results import Cell, CellKey, Result, Score, Store
from dvbench.submission.bundle import Bundle
from dvbench.submission.plain_text import plain


@dataclass(frozen=True)
class Mismatch:
    """Something that is claimed and is not so.

    Parameters
    ----------
    key : CellKey
    what : str
        Such as ``point_removal.gap``.
    claimed, found : object
    """

    key: CellKey
    what: str
    claimed: object
    found: object

    def __str__(self) -> str:
        return plain(f"{self.key.folder}: {self.what}: claimed {self.claimed}, found {self.found}")


def scorable(cell: Cell, trusted: Iterable[str] = ()) -> bool:
    """Whether a cell's scores can be computed again here.

    Unlearning methods are judged by unlearning once more, so theirs must be registered, or be trusted by name: a
    ``module:Name`` of a submission is not imported otherwise.
    """
    return cell.evaluator.kind == "evaluators" or usable(cell, trusted)


def usable(cell: Cell, trusted: Iterable[str] = ()) -> bool:
    """Whether all that making a cell's evaluator or unlearning method could import is registered, or trusted."""
    return not unknown_names(cell, trusted)


def unknown_names(cell: Cell, trusted: Iterable[str] = ()) -> list[str]:
    """What a cell names to be imported that is neither registered nor trusted: the evaluator, or in its parameters."""
    allowed = {*trusted, *entries(cell.evaluator.kind)}
    return [name for name in (cell.evaluator.name, *_imports(cell.evaluator.params)) if name not in allowed]


def _imports(value: Any) -> Iterator[str]:
    """Every text in parameters that could name something to import."""
    if isinstance(value, str) and ":" in value:
        yield value
    elif isinstance(value, dict):
        yield from (name for pair in value.items() for each in pair for name in _imports(each))
    elif isinstance(value, list | tuple):
        yield from (name for each in value for name in _imports(each))


def recompute(
    bundle: Bundle,
    cells: Sequence[Cell],
    scratch: Store,
    device: str,
    jobs: int,
    on_scored: Callable[[Result], None] = lambda _: None,
) -> dict[str, Result]:
    """Score cells again, those of one problem and seed together, so that each subset is trained once.

    Parameters
    ----------
    bundle : Bundle
    cells : sequence of Cell
        Those whose results are ok.
    scratch : Store
        An empty one, to which they are copied without their scores.
    device : str
    jobs : int
        Processes; 0 for none but this one.
    on_scored : callable, optional
        Called with each result.

    Returns
    -------
    dict of str to Result
        By the cell's folder.

    Raises
    ------
    UserError
        If a data set cannot be had: that would say nothing about what is claimed.
    """
    from dvbench.execution.run import score_saved_values
    from dvbench.problems.build import load_source

    for dataset in {str(cell.problem.dataset): cell.problem.dataset for cell in cells}.values():
        load_source(dataset)
    for cell in cells:
        claimed = bundle.result(cell.key)
        arrays = {name: bundle.store.array(claimed, name) for name in claimed.arrays}
        scratch.write(claimed.model_copy(update={"scores": {}}), arrays)
    return collected(score_saved_values(cells, scratch, device, jobs), on_scored)


def collected(stream: Generator[Result], on_result: Callable[[Result], None]) -> dict[str, Result]:
    """Results by their cells' folders, each told of as it comes; whatever runs is ended with this."""
    found = {}
    with closing(stream):
        for result in stream:
            on_result(result)
            found[result.cell.key.folder] = result
    return found


def recounted(bundle: Bundle, claimed: Result) -> Iterator[Mismatch]:
    """Where a result miscounts its own distinct values."""
    count = claimed.diagnostics.get("distinct_values")
    found = float(len(np.unique(bundle.store.array(claimed, "values"))))
    if count is not None and count != found:
        yield Mismatch(claimed.cell.key, "distinct_values", count, found)


def differences(claimed: Result, found: Result, tolerance: float) -> Iterator[Mismatch]:
    """Everything in which a result's scores differ from those that were computed again."""
    key = claimed.cell.key
    for name, before in claimed.scores.items():
        after = found.scores.get(name)
        if before.error is not None:
            continue  # it is shown as failed, which is nothing to boast of
        if after is None:
            yield Mismatch(key, name, before.value, "that it needs a second valuation, which is not there")
        elif after.error is not None:
            yield Mismatch(key, name, before.value, f"that it fails: {after.error}")
        else:
            yield from (Mismatch(key, f"{name}.{what}", *pair) for what, *pair in _unlike(before, after, tolerance))


def _unlike(before: Score, after: Score, tolerance: float) -> Iterator[tuple[str, object, object]]:
    for what in ("version", "headline", "higher_is_better"):
        if getattr(before, what) != getattr(after, what):
            yield what, getattr(before, what), getattr(after, what)
    for name in sorted(before.metrics.keys() | after.metrics.keys()):
        pair = before.metrics.get(name), after.metrics.get(name)
        if not near(*pair, tolerance):
            yield name, *pair
    for name in sorted(before.curves.keys() | after.curves.keys()):
        one, other = before.curves.get(name), after.curves.get(name)
        if one is None or other is None or len(one) != len(other):
            yield name, _points(one), _points(other)
            continue
        for place, pair in enumerate(zip(one, other, strict=True)):
            if not near(*pair, tolerance):
                yield f"{name}[{place}]", *pair


def _points(curve: list[float] | None) -> str:
    return "no curve" if curve is None else f"{len(curve)} points"


def near(claimed: float | None, found: float | None, tolerance: float) -> bool:
    """Whether two numbers agree, relative to the claimed one if that is above 1."""
    if claimed is None or found is None:
        return claimed is found
    return abs(claimed - found) <= tolerance * max(1.0, abs(claimed))
