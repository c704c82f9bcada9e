"""Numbers that papers report, each with its source, to compare our numbers with."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
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
    settings : dict of str to str
        The data and the model of each measurement, by data set.
    numbers : dict of str to dict of str to float
        By data set, then by the name of our metric.
    remark : str
        What must be known to compare the numbers with ours.
    """

    source: str
    evaluator: str
    settings: dict[str, str]
    numbers: dict[str, dict[str, float]]
    remark: str = ""

    def in_words(self, datasets: Iterable[str]) -> str:
        """Say from which measurements the numbers of some data sets are; empty if there are none."""
        settings = dict.fromkeys(self.settings[dataset] for dataset in datasets)
        remark = f" {self.remark}." if self.remark else ""
        return f" Published ({self.source}): {'; '.join(settings)}.{remark}" if settings else ""


@cache
def published() -> dict[str, Published]:
    """Read ``published.toml``: the published numbers of each exhibit."""
    content = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
    fields = ("source", "evaluator", "remark")
    made = {}
    for exhibit, entry in content.items():
        datasets = {name: entry[name] for name in entry if name not in fields}
        numbers = {
            name: {metric: number for metric, number in dataset.items() if metric != "setting"}
            for name, dataset in datasets.items()
        }
        settings = {name: dataset["setting"] for name, dataset in datasets.items()}
        made[exhibit] = Published(
            **{name: entry[name] for name in fields if name in entry}, settings=settings, numbers=numbers
        )
    return made
