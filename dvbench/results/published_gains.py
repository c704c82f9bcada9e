"""What published boards say about each evaluator on each problem: a small table that comes with the package.

`tests/benchmarks/advice_tables.py` writes ``published_gains.csv`` from a results folder, and `dvbench advise` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dvbench.files import read_rows, write_rows
from dvbench.settings import Goal

TABLE = Path(__file__).with_name("published_gains.csv")


@dataclass(frozen=True)
class PublishedGain:
    """What an evaluator gained on one problem for one goal.

    Parameters
    ----------
    suite, problem, dataset : str
    goal : Goal
    evaluator : str
        Its registered name; of several settings that a suite has, those that gain most.
    gain : float
        Score minus that of random values, in the unit of the metrics; the mean over seeds and the tasks of the goal.
    seconds : float
        Of a valuation, the median over seeds.
    rows : int
        Training points.
    features, classes : int
        0 if they are not known, and for a regression no classes.
    noise : float
        Fraction of labels that were flipped.
    """

    suite: str
    problem: str
    dataset: str
    goal: Goal
    evaluator: str
    gain: float
    seconds: float
    rows: int
    features: int
    classes: int
    noise: float


@cache
def published_gains() -> tuple[PublishedGain, ...]:
    """Read ``published_gains.csv``."""
    return read_rows(TABLE, PublishedGain)


def write_gains(rows: Iterable[PublishedGain], path: Path = TABLE) -> None:
    """Write the table."""
    write_rows(path, PublishedGain, rows)
