"""Tables and figures of the papers, made from results: one file each, found by the ``EXHIBITS`` that it declares."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from dvbench.results import Store
from leaderboard.exhibit import Exhibit, ExhibitMaker, suite_results
from leaderboard.suite_scores import SuiteScores

__all__ = ["exhibit_makers", "exhibits"]


def exhibit_makers() -> list[ExhibitMaker]:
    """Collect what the files of this package declare, in the order of their positions."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return sorted((maker for module in modules for maker in module.EXHIBITS), key=lambda maker: maker.position)


def exhibits(store: Store, scores: SuiteScores) -> list[Exhibit]:
    """Make all exhibits that the results of a suite have scores for.

    Parameters
    ----------
    store : Store
    scores : SuiteScores
        The scores of the suite in this store.

    Returns
    -------
    list of Exhibit
        Cost against quality is always included.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    results, makers = suite_results(store, scores), exhibit_makers()
    declared = {task for maker in makers for task in maker.tasks or ()}
    made = []
    for maker in makers:
        drawn = [
            task for task in results.tasks if (task not in declared if maker.tasks is None else task in maker.tasks)
        ]
        if drawn or maker.tasks == ():
            made += maker.make(results, drawn)
    return made
