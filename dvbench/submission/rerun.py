"""Values some cells again with their evaluator, which must be installed or trusted, and compares the values."""

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
    """Draw cells at random without a seed, so that submitters cannot know which are drawn."""
    chosen = random_state().permutation(len(cells))[:number]
    return [cells[index] for index in sorted(chosen)]


def check_evaluators(bundle: Bundle, cells: Sequence[Cell], trusted: Sequence[str]) -> None:
    """Refuse to value cells whose evaluator is not installed, has another version, or is not trusted.

    Raises
    ------
    UserError
    """
    for cell in cells:
        name, unknown = cell.evaluator.name, unknown_names(cell, trusted)
        if foreign := [plain(imported) for imported in unknown if ":" in imported]:
            trust = " ".join(f"--trust {imported}" for imported in foreign)
            raise UserError(f"--sample runs {', '.join(foreign)}; read its code, and if you trust it add {trust}")
        if unknown:
            raise UserError(f"--sample needs {name}, which is not installed here; install it, or verify without")
        installed, submitted = (
            evaluator_version(find(cell.evaluator.kind, name)),
            bundle.result(cell.key).evaluator_version,
        )
        if installed != submitted:
            raise UserError(
                f"{cell.key.folder} was valued by {name} {plain(submitted)}, and {installed} is installed here; "
                "install that version"
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
        An empty store.
    device : str
    jobs : int
        Number of worker processes; with 0, everything is computed in this process.
    on_valued : callable, optional
        Called with each result.

    Returns
    -------
    dict of str to Result
        By the cell's folder.
    """
    from dvbench.execution.run import run_cells

    repeated = [cell.model_copy(update={"tasks": _repeating(cell, bundle)}) for cell in cells]
    return collected(run_cells(repeated, scratch, device, jobs), on_valued)


def _repeating(cell: Cell, bundle: Bundle) -> tuple[str, ...]:
    """Return the tasks for which the cell was valued twice."""
    if "repeat" not in bundle.result(cell.key).arrays:
        return ()
    return tuple(name for name in cell.tasks if find("tasks", name).definition.metadata.get("repeats"))


def deviations(
    bundle: Bundle, claimed: Result, recomputed: Result, scratch: Store, tolerance: float
) -> tuple[float, list[Mismatch]]:
    """Compare the submitted arrays of a cell with those that were computed again.

    Returns
    -------
    float
        The largest deviation, as a fraction of the range of the submitted values.
    list of Mismatch
        The player with the largest deviation, for each array that deviates by more than the tolerance.
    """
    key, worst, wrong = claimed.cell.key, 0.0, []
    if recomputed.status == "failed":
        return np.inf, [Mismatch(key, "values", "an array", f"that the valuation fails: {recomputed.error}")]
    names: list[ArrayName] = ["values", "standard_errors", "repeat"]
    for name in names:
        if (name in claimed.arrays) != (name in recomputed.arrays):
            exist = [f"{'an' if name in result.arrays else 'no'} array" for result in (claimed, recomputed)]
            wrong.append(Mismatch(key, name, *exist))
        if name not in claimed.arrays or name not in recomputed.arrays:
            continue
        before, after = bundle.store.array(claimed, name), scratch.array(recomputed, name)
        if before.shape != after.shape:
            wrong.append(Mismatch(key, name, f"{len(before)} numbers", f"{len(after)} numbers"))
            continue
        gaps = np.abs(before - after)
        player, spread = int(gaps.argmax()), float(np.ptp(bundle.store.array(claimed, "values")))
        worst = max(worst, float(gaps[player]) / spread if gaps[player] and spread else float(gaps[player]))
        if gaps[player] > tolerance * spread:
            wrong.append(Mismatch(key, f"{name} of player {player}", float(before[player]), float(after[player])))
    return worst, wrong
