"""Builds the leaderboard: results in, Markdown, CSV and a static site out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dvbench.errors import UserError, unknown
from dvbench.results import write_atomically
from leaderboard import markdown
from leaderboard.index import open_index, results_store, suites
from leaderboard.site import pages
from leaderboard.site.assets import assets
from leaderboard.standing import standing
from leaderboard.tables import report


def build(results: Path, out: Path, chosen: Sequence[str] | None = None) -> list[Path]:
    """Write the leaderboard of a folder of results.

    Parameters
    ----------
    results : Path
        A results folder, as `dvbench.results.Store` keeps it.
    out : Path
        Folder to write to; made if it is not there.
    chosen : sequence of str, optional
        Suites to show; all by default.

    Returns
    -------
    list of Path
        ``<suite>.md`` and ``<suite>.csv`` for each suite, and last ``index.html``, which leads to its pages. The same
        results give the same bytes.

    Raises
    ------
    UserError
        If there is no such folder or suite, or a file cannot be read or written.
    """
    store, names = results_store(results), list(dict.fromkeys(chosen or ()))
    known = suites(store)
    if not known:
        raise UserError(
            f"{results} holds no suite (no <suite>/plan.json): run a suite first, or give another --results"
        )
    for suite in names:
        if suite not in known:
            raise unknown("suite with results", suite, known)
    written, fronts, templates = [], [], pages.environment()
    with open_index(store) as index:
        # All are read before the first is written: a file that cannot be read leaves the old pages whole.
        for suite in names or known:
            index.read(suite)
        for suite in names or known:
            stand = standing(index, suite)
            told = report(stand)
            fronts.append(pages.front(stand, told))
            files = {f"{suite}.md": markdown.render(told).encode(), f"{suite}.csv": told.csv.encode()}
            for name, content in files.items():
                write_atomically(out / name, content)
                written.append(out / name)
            for name, content in pages.suite_files(templates, index, stand, told, names or known):
                write_atomically(out / name, content)
    for name, content in assets().items():
        _write_once(out / "assets" / name, content)
    write_atomically(out / "index.html", pages.home_page(templates, fronts))
    return [*written, out / "index.html"]


def _write_once(path: Path, content: bytes) -> None:
    """Write what hardly ever changes: megabytes that need not be written after every run."""
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)
