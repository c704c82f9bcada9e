"""Values some cells once more with their evaluator, and compares the values: what a stranger's machine would not do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dvbench.errors import UserError
from dvbench.execution.resume import evaluator_version
from dvbench.randomness import random_state
from dvbench.registry import find
from dvbench.results import ArrayName, Cell, Result, Store
from dvbench.submission.bundle import Bundle
from dvbench.submission.plain_text import plain
from dvbench.submission.recompute import Mismatch, collected, unknown_names


def sample_cells(cells: Sequence[Cell], number: int) -> list[Cell]:
    """Draw cells; nobody knows beforehand which."""
    chosen = random_state().permutation(len(cells))[:number]
    return [cells[place] for place in sorted(chosen)]


def check_evaluators(bundle: Bundle, cells: Sequence[Cell], trusted: Sequence[str]) -> None:
    """Refuse to value cells whose evaluator is not here, is another version, or was not said to be trusted.

    Raises
    ------
    UserError
    """
    for cell in cells:
        name, unknown = cell.evaluator.name, unknown_names(cell, trusted)
        if foreign := [plain(each) for each in unknown if ":" in each]:
            trust = " ".join(f"--trust {each}" for each in foreign)
            raise UserError(f"--sample runs {', '.join(foreign)}; read its code, and if you trust it add {trust}")
        if unknown:
            raise UserError(f"--sample needs {name}, which is not installed here; install it, or verify without")
        here, there = evaluator_version(find(cell.evaluator.kind, name)), bundle.result(cell.key).evaluator_version
        if here != there:
            raise UserError(
                f"{cell.key.folder} was valued by {name} {plain(there)}, and here is {here}; install that one"
            )


def rerun(
    bundle: Bundle,
    cells: Sequence[Cell],
    scratch: Store,
    device: str,
    jobs: int,
    on_valued: Callable[[Result], None] = lambda _: None,
) -> dict[str, Result]:
    """Value cells again, twice where a second valuation was submitted.

    Parameters
    ----------
    bundle : Bundle
    cells : sequence of Cell
    scratch : Store
        An empty one.
    device : str
    jobs : int
        Processes; 0 for none but this one.
    on_valued : callable, optional
        Called with each result.

    Returns
    -------
    dict of str to Result
        By the cell's folder.
    """
    from dvbench.execution.run import run_cells

    asked = [cell.model_copy(update={"tasks": _repeating(cell, bundle)}) for cell in cells]
    return collected(run_cells(asked, scratch, device, jobs), on_valued)


def _repeating(cell: Cell, bundle: Bundle) -> tuple[str, ...]:
    """Of a cell's tasks those for which it was valued twice."""
    if "repeat" not in bundle.result(cell.key).arrays:
        return ()
    return tuple(name for name in cell.tasks if find("tasks", name).definition.metadata.get("repeats"))


def deviations(
    bundle: Bundle, claimed: Result, found: Result, scratch: Store, tolerance: float
) -> tuple[float, list[Mismatch]]:
    """Compare the arrays of a cell with those that were computed again.

    Returns
    -------
    float
        The largest deviation, as a share of the range of the submitted values.
    list of Mismatch
        The worst player of each array that deviates by more than the tolerance.
    """
    key, worst, wrong = claimed.cell.key, 0.0, []
    if found.status == "failed":
        return np.inf, [Mismatch(key, "values", "an array", f"that valuing fails: {found.error}")]
    names: list[ArrayName] = ["values", "standard_errors", "repeat"]
    for name in names:
        if (name in claimed.arrays) != (name in found.arrays):
            there = [f"{'an' if name in each.arrays else 'no'} array" for each in (claimed, found)]
            wrong.append(Mismatch(key, name, *there))
        if name not in claimed.arrays or name not in found.arrays:
            continue
        before, after = bundle.store.array(claimed, name), scratch.array(found, name)
        if before.shape != after.shape:
            wrong.append(Mismatch(key, name, f"{len(before)} numbers", f"{len(after)} numbers"))
            continue
        gaps = np.abs(before - after)
        player, spread = int(gaps.argmax()), float(np.ptp(bundle.store.array(claimed, "values")))
        worst = max(worst, float(gaps[player]) / spread if gaps[player] and spread else float(gaps[player]))
        if gaps[player] > tolerance * spread:
            wrong.append(Mismatch(key, f"{name} of player {player}", float(before[player]), float(after[player])))
    return worst, wrong
