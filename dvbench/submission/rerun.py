"""Values some cells again with their evaluator, which must be installed or trusted, and compares the values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from dvbench.errors import UserError, plain
from dvbench.execution.environment import current_environment
from dvbench.execution.limits import NO_LIMITS, Limits
from dvbench.execution.resume import evaluator_version, needed_variants
from dvbench.problems.variants import VARIANTS
from dvbench.randomness import random_state
from dvbench.results import ArrayName, Cell, Environment, Result, Store
from dvbench.results.store import DTYPES
from dvbench.scoring.correlation import rank_correlation
from dvbench.submission.bundle import Bundle
from dvbench.submission.machines import LEAST_CORRELATION, repeats
from dvbench.submission.recompute import Mismatch, collected, headlines_agree, unknown_names

ARRAYS: tuple[ArrayName, ...] = get_args(ArrayName)


def sample_cells(cells: Sequence[Cell], number: int) -> list[Cell]:
    """Draw cells at random without a seed, so that submitters cannot know which are drawn."""
    chosen = random_state().permutation(len(cells))[:number]
    return [cells[index] for index in sorted(chosen)]


def check_evaluators(bundle: Bundle, cells: Sequence[Cell], trusted: Sequence[str], option: str = "--sample") -> None:
    """Refuse to value cells whose evaluator is not installed, has another version, or is not trusted.

    Raises
    ------
    UserError
    """
    for cell in cells:
        name, unknown = cell.evaluator.name, unknown_names(cell, trusted)
        if foreign := [plain(imported) for imported in unknown if ":" in imported]:
            trust = " ".join(f"--trust {imported}" for imported in foreign)
            raise UserError(f"{option} runs {', '.join(foreign)}; read its code, and if you trust it add {trust}")
        if unknown:
            raise UserError(f"{option} needs {name}, which is not installed here; install it, or verify without")
        installed, submitted = (
            evaluator_version(cell.evaluator),
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
    on_finished: Callable[[Result], None] = lambda _: None,
    limits: Limits = NO_LIMITS,
) -> dict[str, Result]:
    """Value cells again, with the variants that were submitted, and score them where bits need not agree.

    Evaluators are given arrays in processes of their own; see `dvbench.execution.isolation`. Unlearning methods are
    part of the tasks that judge them, and selection strategies of training, so they are not kept apart from the
    problem.

    Parameters
    ----------
    bundle : Bundle
    cells : sequence of Cell
    scratch : Store
        An empty store.
    device : str
    jobs : int
        Number of worker processes. With 0, everything but evaluators runs in this process.
    on_finished : callable, optional
        Called with each result.
    limits : Limits, optional
        Limits of one valuation, and of the scoring of a cell.

    Returns
    -------
    dict of str to Result
        By the cell's folder.
    """
    here = current_environment(device)
    again = [cell.model_copy(update={"tasks": _tasks(cell, bundle.result(cell.key), here)}) for cell in cells]
    return value_and_score(again, scratch, device, jobs, on_finished, limits)


def value_and_score(
    cells: Sequence[Cell],
    scratch: Store,
    device: str,
    jobs: int,
    on_finished: Callable[[Result], None] = lambda _: None,
    limits: Limits = NO_LIMITS,
) -> dict[str, Result]:
    """Value cells, the problems of evaluators out of their reach, and score them; returns results by folder."""
    from dvbench.execution.isolation import value_isolated
    from dvbench.execution.run import run_cells, score_saved_values

    methods = [cell for cell in cells if cell.evaluator.kind != "evaluators"]
    others = [cell for cell in cells if cell.evaluator.kind == "evaluators"]
    results = collected(run_cells(methods, scratch, device, jobs, limits=limits), on_finished) if methods else {}
    valued = value_isolated(others, scratch, device, jobs, limits=limits) if others else []
    for result in valued:
        if result.status != "ok":
            results[result.cell.key.folder] = result
            on_finished(result)
    to_score = [result.cell for result in valued if result.status == "ok"]
    scored = collected(score_saved_values(to_score, scratch, device, jobs, limits), on_finished)
    for result in valued:
        after = scored.get(result.cell.key.folder, result)
        if after.arrays != result.arrays:  # by a process that an evaluator left behind
            raise UserError(f"the values of {result.cell.key} were changed while they were scored; do not trust it")
    return results | scored


def _tasks(cell: Cell, claimed: Result, here: Environment) -> tuple[str, ...]:
    """Return the tasks to score again: on another machine all, on the same those that need values of variants."""
    everything, known = not repeats(claimed.environment, here), claimed.arrays.keys()
    variants = {name: needed_variants(name) for name in cell.tasks}
    return tuple(name for name in cell.tasks if (known >= {*variants[name]} if variants[name] else everything))


@dataclass
class Comparison:
    """Compares the submitted arrays of a cell with those that were computed again.

    Numbers may differ by the tolerance times the range of the values. Values that were computed on another kind of
    machine may differ by more, if their rank correlation is at least `LEAST_CORRELATION` and the headline score of
    every task differs by at most the tolerance.

    Parameters
    ----------
    claimed, recomputed : Result
    tolerance : float

    Attributes
    ----------
    deviation : float
        Largest deviation, as a fraction of the range of the submitted values.
    correlation : float
        Lowest rank correlation of arrays that differ by more than the tolerance and come from another kind of machine.
    mismatches : list of Mismatch
        For each array that does not agree, the player with the largest deviation.
    """

    claimed: Result
    recomputed: Result
    tolerance: float
    deviation: float = 0.0
    correlation: float = 1.0
    mismatches: list[Mismatch] = field(default_factory=list)

    def compare(self, submitted: Store, computed: Store) -> None:
        """Compare all arrays, which are in these stores."""
        if self.recomputed.status != "ok":
            self.deviation = np.inf
            what = "fails" if self.recomputed.status == "failed" else "is declined"
            self._add("values", "an array", f"that the valuation {what}: {self.recomputed.error}")
            return
        for name in ARRAYS:
            if name == "standard_errors" and name not in self.claimed.arrays:
                continue  # an evaluator can learn to estimate them without a change of its values
            results = self.claimed, self.recomputed
            if (name in self.claimed.arrays) != (name in self.recomputed.arrays):
                self._add(name, *(f"{'an' if name in result.arrays else 'no'} array" for result in results))
            elif name in self.claimed.arrays:
                before, after = submitted.array(self.claimed, name), computed.array(self.recomputed, name)
                if name not in DTYPES:
                    like = name if name in VARIANTS else "values"  # whose range the numbers are compared to
                    self._compare_array(name, before, after, float(np.ptp(submitted.array(self.claimed, like))))
                elif repeats(self.claimed.environment, self.recomputed.environment) and not np.array_equal(
                    before, after
                ):
                    self._add(name, "a record of what was chosen", "another one")  # elsewhere, the values decide

    def _compare_array(self, name: ArrayName, before: np.ndarray, after: np.ndarray, spread: float) -> None:
        if before.shape != after.shape:
            self._add(name, f"{len(before)} numbers", f"{len(after)} numbers")
            return
        gaps = np.zeros(len(before))
        np.subtract(before, after, out=gaps, where=before != after)  # two infinite standard errors are equal
        player = int(np.abs(gaps).argmax())
        gap = float(abs(gaps[player]))
        self.deviation = max(self.deviation, gap / spread if gap and spread else gap)
        if gap > self.tolerance * spread and not (name != "standard_errors" and self._ranks_agree(before, after)):
            self._add(f"{name} of player {player}", float(before[player]), float(after[player]))

    def _ranks_agree(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether values are from another kind of machine and agree in their ranks and in their scores."""
        if repeats(self.claimed.environment, self.recomputed.environment):
            return False
        correlation = rank_correlation(before, after)[0]
        self.correlation = min(self.correlation, correlation)
        return correlation >= LEAST_CORRELATION and headlines_agree(self.claimed, self.recomputed, self.tolerance)

    def _add(self, what: str, claimed: object, recomputed: object) -> None:
        self.mismatches.append(Mismatch(self.claimed.cell.key, what, claimed, recomputed))
