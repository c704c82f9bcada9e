"""Numbers that papers report, each with its source, to compare our numbers with."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """The numbers of one table of a paper.

    Parameters
    ----------
    source : str
        Paper and table.
    evaluator : str
        Our evaluator or unlearning method for the same method.
    setting : str
        The data and models of the measurement.
    numbers : dict of str to dict of str to float
        By data set, then by the name of our metric.
    """

    source: str
    evaluator: str
    setting: str
    numbers: dict[str, dict[str, float]]


@cache
def published() -> dict[str, Published]:
    """Read ``published.toml``: the published numbers of each exhibit."""
    content = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
    fields = ("source", "evaluator", "setting")
    return {
        exhibit: Published(
            **{name: entry[name] for name in fields},
            numbers={name: entry[name] for name in entry if name not in fields},
        )
        for exhibit, entry in content.items()
    }
