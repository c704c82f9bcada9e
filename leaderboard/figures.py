"""Writes the tables and figures of the papers, made from results: data, figures and a page that shows both."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from dvbench.errors import unknown
from dvbench.files import write_atomically
from dvbench.registry import Kind
from leaderboard.drawing import svg
from leaderboard.exhibit import COUNT, HIGH, LOW, Exhibit
from leaderboard.exhibits import exhibits
from leaderboard.index import open_index
from leaderboard.markdown import escape
from leaderboard.plans import results_store, suite_names
from leaderboard.suite_scores import suite_scores
from leaderboard.tables import between
from leaderboard.wording import said_of


def write_figures(results: Path, suite: str, out: Path) -> list[Path]:
    """Write the exhibits of a suite.

    Parameters
    ----------
    results : Path
        A results folder.
    suite : str
    out : Path
        Folder to write to; it is created if needed.

    Returns
    -------
    list of Path
        For each exhibit ``<name>.csv``, its figures as SVG and their lines as ``<name>-lines.csv``; last
        ``<suite>.md``, which shows them. Equal results give equal bytes.

    Raises
    ------
    UserError
        If there is no such folder or suite, or a file cannot be read or written.
    """
    store = results_store(results)
    if suite not in suite_names(store):
        raise unknown("suite with results", suite, suite_names(store))
    with open_index(store, suite) as index:
        scores = suite_scores(index)
        made, kind = exhibits(store, scores), scores.kind
    files = {}
    for exhibit in made:
        files[f"{exhibit.name}.csv"] = _csv(exhibit.table)
        if exhibit.data is not None:
            files[f"{exhibit.name}-lines.csv"] = _csv(exhibit.data)
        files |= {f"{exhibit.name}{suffix}.svg": svg(figure) for suffix, figure in exhibit.figures.items()}
    files[f"{suite}.md"] = _page(suite, made, kind).encode()
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def _page(suite: str, made: list[Exhibit], kind: Kind) -> str:
    parts = [f"# {escape(suite)}: tables and figures"]
    for exhibit in made:
        title, name = escape(exhibit.title), exhibit.name
        parts += [f"## {title}", escape(said_of(kind, exhibit.caption))]
        for suffix in exhibit.figures:
            part = escape(suffix.removeprefix("-"))
            parts += [f"**{part}**"] * bool(part)
            parts.append(f"![{title}{': ' * bool(part)}{part}]({name}{suffix}.svg)")
        parts += [escape(said_of(kind, exhibit.table_caption))] * bool(exhibit.table_caption)
        parts.append(_table(exhibit.table))
    return "\n\n".join(parts) + "\n"


def _table(table: pd.DataFrame) -> str:
    """Write each mean and its interval in one column; published rows have their source in place of the evaluator."""
    aside = {f"{name}{suffix}" for name in table for suffix in (LOW, HIGH, COUNT)} | {"source"}
    names = [str(name) for name in table if name not in aside]
    lines = [[escape(name) for name in names], ["---"] * len(names)]
    for row in table.to_dict("records"):
        line = [_entry(row, str(name)) for name in names]
        if row.get("source"):
            line[names.index("evaluator")] = f"*{escape(str(row['source']))}*"
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _entry(row: dict[Any, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, int | float):
        return escape(str(value))
    if math.isnan(value):
        return ""
    if name + LOW not in row and float(value).is_integer():
        return f"{value:.0f}"
    low, high = (row.get(name + end, math.nan) for end in (LOW, HIGH))
    # The column of seeds says how many seeds there are; fewer of them can have this score.
    seeds = row.get(name + COUNT, math.nan)
    n = "" if math.isnan(seeds) or seeds == row.get("seeds") else f" (n = {seeds:.0f})"
    return between(value, low, high) + n
