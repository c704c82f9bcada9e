"""Builds the leaderboard: results in, Markdown, CSV and one HTML page out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from dvbench.errors import UserError, unknown
from dvbench.results import Store, write_atomically
from leaderboard import markdown
from leaderboard.tables import Report, report


def build(results: Path, out: Path, suites: Sequence[str] | None = None) -> list[Path]:
    """Write the leaderboard of a folder of results.

    Parameters
    ----------
    results : Path
        A results folder, as `dvbench.results.Store` keeps it.
    out : Path
        Folder to write to; made if it is not there.
    suites : sequence of str, optional
        Suites to show; all by default.

    Returns
    -------
    list of Path
        ``<suite>.md`` and ``<suite>.csv`` for each suite, and last ``index.html`` for all of them. The same results
        give the same bytes.

    Raises
    ------
    UserError
        If there is no such folder or suite, or a file cannot be read or written.
    """
    if not results.is_dir():
        raise UserError(f"there is no results folder {results}: run a suite first, or give its folder with --results")
    store = Store(results)
    known = store.suites()
    if not known:
        raise UserError(
            f"{results} holds no suite (no <suite>/plan.json): run a suite first, or give another --results"
        )
    for suite in suites or ():
        if suite not in known:
            raise unknown("suite with results", suite, known)
    # All are read before the first is written: a file that cannot be read leaves the old pages whole.
    reports = [report(store, suite) for suite in (dict.fromkeys(suites) if suites else known)]
    files = {}
    for each in reports:
        files[f"{each.suite}.md"] = markdown.render(each)
        files[f"{each.suite}.csv"] = each.csv
    files["index.html"] = page(reports)
    for name, text in files.items():
        write_atomically(out / name, text.encode())
    return [out / name for name in files]


def page(reports: Sequence[Report]) -> str:
    """Write reports as one self-contained HTML page, everything in it escaped.

    Parameters
    ----------
    reports : sequence of Report

    Returns
    -------
    str
    """
    environment = Environment(
        loader=PackageLoader("leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("index.html.jinja").render(reports=reports)
