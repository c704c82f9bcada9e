"""Estimates of what published cells cost, from the costs of other cells only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from dvbench.execution.costs import Measured, estimate_valuation, published_costs, setting_of
from dvbench.results import Cell, Store

ROOT = Path(__file__).parents[2]
SHORT = 0.05  # seconds; what takes less than that is not planned


def published(suite: str) -> list[Cell]:
    """One cell of each problem and evaluator."""
    plan = Store(ROOT / "results").plan(suite)
    assert plan is not None
    return list({(cell.key.problem, cell.key.evaluator): cell for cell in plan.cells}.values())


def own_row(cell: Cell) -> Measured | None:
    """What the cell itself has cost."""
    groups, points = cell.problem.groups, cell.problem.sizes.train
    of_setting = [row for row in published_costs() if setting_of(row) == setting_of(cell) and row.points == points]
    same = [row for row in of_setting if groups is None or row.players == groups.count or groups.count is None]
    return same[0] if same else None


def problem_of(row: Measured) -> tuple[object, ...]:
    return row.model, row.dataset, row.points, row.players


def ratios(suite: str, kept: Callable[[Measured, Measured], bool]) -> Iterator[tuple[float, float]]:
    """Estimated and measured seconds of a suite's cells, from the rows that are kept."""
    for cell in published(suite):
        own = own_row(cell)
        if own is not None and own.seconds > SHORT:
            expected = estimate_valuation(cell, [row for row in published_costs() if kept(row, own)], own.cuda)
            if expected is not None:
                yield expected.seconds, own.seconds


def summary(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Ratio of the sums, and the factor by which half of the estimates are wrong."""
    total = sum(expected for expected, _ in pairs) / sum(measured for _, measured in pairs)
    return total, math.exp(median(abs(math.log(expected / measured)) for expected, measured in pairs))


SUITES = ["quick", "subset-level-cpu", "partial-cpu", "efficiency-cpu", "unlearning-cpu", "selection-features"]


@pytest.mark.parametrize("suite", SUITES)
def test_a_problem_is_estimated_from_other_problems(suite: str) -> None:
    pairs = list(ratios(suite, lambda row, own: problem_of(row) != problem_of(own)))
    total, half = summary(pairs)
    print(f"{suite}: {len(pairs)} settings, total x{total:.2f}, half within x{half:.2f}")
    assert 1 / 3 < total < 3
    assert half < 2.5


@pytest.mark.parametrize("suite", SUITES[:-1])  # selection strategies were measured in the last one only
def test_a_suite_is_estimated_from_other_suites(suite: str) -> None:
    of_suite = [own for cell in published(suite) if (own := own_row(cell)) is not None]
    pairs = list(ratios(suite, lambda row, _: row not in of_suite))
    total, half = summary(pairs)
    print(f"{suite}: {len(pairs)} settings, total x{total:.2f}, half within x{half:.2f}")
    assert 1 / 3 < total < 3
    assert half < 3
