"""What ``run --dry-run`` prints: the cells of a suite and what they will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvbench.execution.costs import Estimate
    from dvbench.execution.run import RunOptions
    from dvbench.suite import Suite

SHORT = 3600.0  # seconds; where all cells together take less, hours have more digits
IN_WORDS = (
    "Hours are those of one core (or GPU) for the valuations, without scoring. They are estimated from measured cells: "
    "half of them are wrong by a factor of 1.5 or more, and more so the less alike the data. Memory is that of the "
    "largest cell, beside what each process needs for its packages. ? means that no such cell has been measured."
)


def show_costs(suite: Suite, results: Path, options: RunOptions, at_a_time: int | None) -> None:
    """Print what a run would compute and what it would cost; no data set is loaded, and nothing is written.

    ``at_a_time`` is the number of cells that are computed at the same time, None where a cluster decides it.
    """
    from dvbench import console
    from dvbench.execution.costs import estimate, known_costs
    from dvbench.execution.environment import resolve_device
    from dvbench.execution.run import planned_cells
    from dvbench.execution.time_budget import fit_together
    from dvbench.results import Store

    cells, to_do = planned_cells(suite, results, options)
    # The machine that computes has a GPU if --device says so; this one may have none.
    known, cuda = known_costs(Store(results), suite.name), resolve_device(options.device) != "cpu"
    planned = Counter(cell.key.evaluator for cell in cells)
    expected: dict[str, list[Estimate | None]] = {name: [] for name in planned}
    for cell in to_do:
        expected[cell.key.evaluator].append(estimate(cell, known, cuda))
    headers = ["evaluator", "cells", "to do", "hours", "memory MB", "disk MB"]
    every = [each for costs in expected.values() for each in costs]
    digits = 2 if sum(each.seconds for each in every if each) >= SHORT else 4
    rows = [[name, str(planned[name]), str(len(costs)), *_numbers(costs, digits)] for name, costs in expected.items()]
    console.number_table(headers, rows, headers[:4])
    hours, _, disk = _numbers(every, digits)
    together = "" if at_a_time is None else f"{at_a_time} at a time, "
    console.say(
        f"{suite.name}: {len(cells)} cells, {len(cells) - len(to_do)} done before, {len(to_do)} to do: {hours} "
        f"{'GPU' if cuda else 'core'} hours, {together}{disk} MB on disk"
    )
    if options.budget is not None and at_a_time is not None:
        count = len(fit_together(to_do, options.budget, at_a_time, known, cuda))
        console.say(f"about {count} of {len(to_do)} cells fit into the time of --budget, if scoring takes none of it")
    console.say(IN_WORDS)


def _numbers(costs: Sequence[Estimate | None], digits: int) -> list[str]:
    """Hours with so many digits, memory and disk of cells, with a ? if some or all are not known."""
    known = [each for each in costs if each is not None]
    if costs and not known:
        return ["?"] * 3
    partly = "?" * (len(known) < len(costs))
    hours, disk = sum(each.seconds for each in known) / 3600, sum(each.disk for each in known) / 1e6
    memory = max((each.memory for each in known), default=0) / 1e6
    return [f"{hours:.{digits}f}{partly}", f"{memory:.0f}{partly}", f"{disk:.1f}{partly}"]
