"""Builds the leaderboard: results in, Markdown, CSV and a static site out."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dvbench.errors import UserError, unknown
from dvbench.files import write_atomically
from dvbench.results import Store
from dvbench.results.store import PLAN
from leaderboard import markdown
from leaderboard.index import open_index, results_store, suites
from leaderboard.site import pages
from leaderboard.site.assets import assets
from leaderboard.suite_scores import suite_scores
from leaderboard.tables import report

MANY = 5_000_000  # bytes of plans, some five thousand cells


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
    shown = names or known
    plans = [results / suite / PLAN for suite in shown]
    many = sum(path.stat().st_size for path in plans if path.exists()) > MANY
    written: list[Path] = []
    fronts = []
    with _workers(len(shown) if many else 1) as each:
        # All are read before the first is written: a file that cannot be read leaves the old pages whole.
        list(each(partial(_index, store), shown))
        for paths, front in each(partial(_write, store, out, shown), shown):
            written += paths
            fronts.append(front)
    for name, content in assets().items():
        _write_once(out / "assets" / name, content)
    write_atomically(out / "index.html", pages.home_page(pages.environment(), fronts))
    return [*written, out / "index.html"]


def _index(store: Store, suite: str) -> None:
    """Bring the index of a suite up to date."""
    with open_index(store, suite):
        pass


def _write(store: Store, out: Path, suites: list[str], suite: str) -> tuple[list[Path], dict[str, Any]]:
    """Write all files of a suite; Markdown and CSV among them, and what the home page says of it."""
    with open_index(store, suite) as index:
        stand = suite_scores(index)
        told = report(stand)
        files = {out / f"{suite}.md": markdown.render(told).encode(), out / f"{suite}.csv": told.csv.encode()}
        for path, content in files.items():
            write_atomically(path, content)
        for name, content in pages.suite_files(pages.environment(), index, stand, told, suites):
            write_atomically(out / name, content)
    return list(files), pages.front(stand, told)


@contextmanager
def _workers(suites: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` over suites: in processes where there are several and much to do."""
    jobs = min(suites, os.cpu_count() or 1)
    if jobs == 1:
        yield map
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield pool.map


def _write_once(path: Path, content: bytes) -> None:
    """Write what hardly ever changes: megabytes that need not be written after every run."""
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)
