"""Writes the papers' tables and figures, made from results: data, pictures and a page that shows both."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from dvbench.errors import unknown
from dvbench.files import write_atomically
from leaderboard.exhibits import Exhibit, exhibits
from leaderboard.exhibits.common import HIGH, LOW
from leaderboard.exhibits.drawing import svg
from leaderboard.index import open_index, results_store, suites
from leaderboard.markdown import escape
from leaderboard.suite_scores import suite_scores
from leaderboard.tables import number


def write_figures(results: Path, suite: str, out: Path) -> list[Path]:
    """Write the exhibits of a suite.

    Parameters
    ----------
    results : Path
        A results folder.
    suite : str
    out : Path
        Folder to write to; made if it is not there.

    Returns
    -------
    list of Path
        For each exhibit ``<name>.csv``, its figures as SVG and what they draw as ``<name>-lines.csv``; last
        ``<suite>.md``, which shows them. The same results give the same bytes.

    Raises
    ------
    UserError
        If there is no such folder or suite, or a file cannot be read or written.
    """
    store = results_store(results)
    if suite not in suites(store):
        raise unknown("suite with results", suite, suites(store))
    with open_index(store, suite) as index:
        made = exhibits(store, suite_scores(index))
    files = {}
    for each in made:
        files[f"{each.name}.csv"] = _csv(each.table)
        if each.data is not None:
            files[f"{each.name}-lines.csv"] = _csv(each.data)
        files |= {f"{each.name}{of}.svg": svg(figure) for of, figure in each.figures.items()}
    files[f"{suite}.md"] = _page(suite, made).encode()
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def _page(suite: str, made: list[Exhibit]) -> str:
    parts = [f"# {escape(suite)}: tables and figures"]
    for each in made:
        parts += [f"## {escape(each.title)}", escape(each.caption)]
        parts += [f"![{escape(each.title + of)}]({each.name}{of}.svg)" for of in each.figures]
        parts.append(_table(each.table))
    return "\n\n".join(parts) + "\n"


def _table(table: pd.DataFrame) -> str:
    """Means with their intervals in one place each; published rows say where they come from."""
    names = [str(name) for name in table if not str(name).endswith((LOW, HIGH)) and name != "source"]
    lines = [[escape(name) for name in names], ["---"] * len(names)]
    for row in table.to_dict("records"):
        line = [_place(row, str(name)) for name in names]
        if row.get("source"):
            line[names.index("evaluator")] = f"*{escape(str(row['source']))}*"
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _place(row: dict[Any, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, int | float):
        return escape(str(value))
    if math.isnan(value):
        return ""
    if name + LOW not in row and float(value).is_integer():
        return f"{value:.0f}"
    low, high = (row.get(name + end, math.nan) for end in (LOW, HIGH))
    shown = number(value)
    return shown if math.isnan(low) else f"{shown} [{number(low)}, {number(high)}]"
