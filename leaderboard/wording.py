"""Words for captions, made from the results: who the players are, and what utility is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dvbench.settings import Groups
from leaderboard.exhibit import SuiteResults
from leaderboard.text import clean

UTILITIES = {
    "classification": "accuracy",
    "regression": "negative mean squared error",
    "language": "negative perplexity",
}


def players(results: SuiteResults, tasks: Sequence[str]) -> str:
    """Name the players of the problems that have these tasks, such as ``"10 random subsets, or corpora"``."""
    planned = [cell.problem.groups for cell, _ in results.cells if {*tasks} & {*cell.tasks}]
    return _alternatives(map(_players, planned))


def utility(results: SuiteResults, tasks: Sequence[str]) -> str:
    """Name the utility of the problems that have these tasks, such as ``"accuracy"``."""
    problems = dict.fromkeys(cell.key.problem for cell, _ in results.cells if {*tasks} & {*cell.tasks})
    kinds = [results.kinds[problem] for problem in problems]
    return _alternatives(UTILITIES[kind] for kind in kinds if kind in UTILITIES) or "utility"


def _players(groups: Groups | None) -> str:
    if groups is None:
        return "training points"
    return {
        "random": f"{groups.count} random subsets",
        "classes": "classes",
        "column": f"groups by the column '{clean(groups.column or '')}'",
        "corpora": "corpora",
    }[groups.by]


def _alternatives(words: Iterable[str]) -> str:
    return ", or ".join(dict.fromkeys(words))
