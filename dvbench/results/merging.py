"""Unites results folders, such as those of the shards of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dvbench.errors import UserError
from dvbench.results.schema import Cell, Plan
from dvbench.results.store import Store


@dataclass(frozen=True)
class Merged:
    """What a suite has after results folders were united.

    Parameters
    ----------
    suite : str
    copied : int
        Number of cells that came from the folders.
    cells : int
        Number of planned cells.
    missing : tuple of Cell
        Planned cells without a result.
    failed : tuple of Cell
        Cells whose valuation failed.
    """

    suite: str
    copied: int
    cells: int
    missing: tuple[Cell, ...]
    failed: tuple[Cell, ...]


def merge(sources: Sequence[Store], target: Store) -> list[Merged]:
    """Copy all results to one results folder.

    Of a cell that several folders have, a valuation that worked is kept rather than one that failed, and the result
    with the most scores that worked. Nothing is written if folders contradict each other.

    Parameters
    ----------
    sources : sequence of Store
    target : Store
        It may have results.

    Returns
    -------
    list of Merged
        For each suite, in alphabetical order.

    Raises
    ------
    UserError
        If a source is no results folder or a file cannot be read; if the plans of a suite, or two valuations of a
        cell, differ.
    """
    for source in sources:
        if not source.suites():
            raise UserError(f"{source.root} has no plan of a suite: it is no results folder, or no run has begun there")
    stores = [store for store in (target, *sources) if store.suites()]
    plans = {suite: _plan(suite, stores) for suite in sorted({suite for store in stores for suite in store.suites()})}
    kept = {suite: {cell.key.folder: _kept(cell, stores) for cell in plan.cells} for suite, plan in plans.items()}
    merged = []
    for suite, plan in plans.items():
        copied = 0
        for cell in plan.cells:
            chosen = kept[suite][cell.key.folder]
            if chosen is not None and chosen.store is not target and (result := chosen.store.read(cell.key)):
                target.copy(result, chosen.store)
                copied += 1
        target.write_plan(plan)
        results = [(cell, kept[suite][cell.key.folder]) for cell in plan.cells]
        failed = tuple(cell for cell, chosen in results if chosen is not None and chosen.failed)
        missing = tuple(cell for cell, chosen in results if chosen is None)
        merged.append(Merged(suite, copied, len(plan.cells), missing, failed))
    return merged


def _plan(suite: str, stores: Sequence[Store]) -> Plan:
    """Unite the plans of a suite."""
    plans = {store.root: plan for store in stores if (plan := store.plan(suite)) is not None}
    (first, plan), *others = plans.items()
    cells = {cell.key: cell for cell in plan.cells}
    for root, other in others:
        if other.suite_version != plan.suite_version:
            raise UserError(
                f"{first} has version {plan.suite_version} of suite '{suite}', and {root} has version "
                f"{other.suite_version}: run the older one again"
            )
        for cell in other.cells:
            if cells.setdefault(cell.key, cell) != cell:
                raise UserError(
                    f"{first} and {root} have other settings of {suite}, {cell.key}: merge one of them only"
                )
    roles = {title: role for each in plans.values() for title, role in each.roles.items()}
    return plan.model_copy(update={"cells": tuple(cells.values()), "roles": roles})


@dataclass(frozen=True)
class _Kept:
    """Where the result of a cell is; the results of 100,000 cells would take 2 GB."""

    store: Store
    failed: bool


def _kept(cell: Cell, stores: Sequence[Store]) -> _Kept | None:
    """Where the best result of a cell is."""
    found = [(result, store) for store in stores if (result := store.read(cell.key)) is not None]
    for result, store in found:
        if not result.cell.computes_values_of(cell):
            raise UserError(f"{store.root} has a result of {cell.key} with other settings than its plan: run it again")
        store.arrays(result)  # checks them
    valued = [(result, store) for result, store in found if result.status == "ok"]
    hashes = {result.arrays["values"].sha256: store.root for result, store in valued}
    if len(hashes) > 1:
        raise UserError(
            f"{' and '.join(str(root) for root in list(hashes.values())[:2])} have other values of {cell.key} of suite "
            f"'{cell.key.suite}': merge one of them only"
        )
    if not found:
        return None
    result, store = max(valued or found, key=lambda pair: sum(not score.error for score in pair[0].scores.values()))
    return _Kept(store, result.status == "failed")
