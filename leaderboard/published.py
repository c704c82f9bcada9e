"""Numbers that papers report, each with its source, to stand beside ours."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """What a paper's table says.

    Parameters
    ----------
    source : str
        Paper and table.
    evaluator : str
        Ours of the same method.
    setting : str
        What it was measured on.
    numbers : dict of str to dict of str to float
        By data set, and by the name of our metric.
    """

    source: str
    evaluator: str
    setting: str
    numbers: dict[str, dict[str, float]]


@cache
def published() -> dict[str, Published]:
    """All that ``published.toml`` holds, by exhibit."""
    content = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
    told = ("source", "evaluator", "setting")
    return {
        exhibit: Published(
            **{name: entry[name] for name in told}, numbers={name: entry[name] for name in entry if name not in told}
        )
        for exhibit, entry in content.items()
    }
