"""Builds the leaderboard of a results folder: Markdown, CSV and a static site."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from dvbench.errors import UserError, unknown
from dvbench.files import write_atomically
from dvbench.results import Store
from dvbench.results.store import PLAN, VERIFIED
from leaderboard import markdown
from leaderboard.boards import boards
from leaderboard.goal_tables import goal_tables
from leaderboard.index import open_index
from leaderboard.plans import results_store, suite_names
from leaderboard.site import pages
from leaderboard.site.assets import assets
from leaderboard.site.catalogue import catalogue_files
from leaderboard.site.digests import Digest, digest
from leaderboard.site.front import findings, latest, mean_ranks
from leaderboard.site.glossary import read_glossary
from leaderboard.statistics import suite_statistics
from leaderboard.suite_scores import suite_scores
from leaderboard.tables import csv_table, suite_tables

MANY = 5_000_000  # bytes of plans, from which on several processes are used: about five thousand cells


def build(
    results: Path, out: Path, chosen: Sequence[str] | None = None, repository: str = "", docs: str = ""
) -> list[Path]:
    """Write the leaderboard of a folder of results.

    Parameters
    ----------
    results : Path
        A results folder of a `dvbench.results.Store`.
    out : Path
        Folder to write to; it is created if needed.
    chosen : sequence of str, optional
        Suites to show; all by default.
    repository : str, optional
        Address of the repository of dvbench that the pages link to, such as ``https://github.com/OWNER/dvbench``.
    docs : str, optional
        Address of the documentation, which may be relative to the front page.

    Returns
    -------
    list of Path
        ``<suite>.md`` and ``<suite>.csv`` for each suite, and last ``index.html``, which links to the pages of all
        suites. Equal results give equal bytes.

    Raises
    ------
    UserError
        If there is no such folder or suite, or a file cannot be written; or, after the pages of all other suites are
        written, if a file of a suite, or a submission, cannot be read. The old pages of that suite stay as they are.
    """
    store, names = results_store(results), list(dict.fromkeys(chosen or ()))
    known = suite_names(store)
    if not known:
        raise UserError(f"{results} has no suite (no <suite>/plan.json): run a suite first, or give another --results")
    for suite in names:
        if suite not in known:
            raise unknown("suite with results", suite, known)
    shown = names or known
    plans = [results / suite / PLAN for suite in shown]
    many = sum(path.stat().st_size for path in plans if path.exists()) > MANY
    written: list[Path] = []
    cards, digests = [], []
    with _workers(len(shown) if many else 1) as map_suites:
        # All results are read before the first page is written, so that each page links to those that there will be.
        errors = dict(zip(shown, map_suites(partial(_update_index, store), shown), strict=True))
        broken = {suite: error for suite, error in errors.items() if error is not None}
        readable = [suite for suite in shown if suite not in broken]
        common = {
            "suites": readable,
            "repository": repository.rstrip("/"),
            "docs": docs.rstrip("/"),
            "has_glossary": bool(read_glossary()),
        }
        for paths, card, digested in map_suites(partial(_write, store, out, common), readable):
            written += paths
            cards.append(card)
            digests.append(digested)
    if readable:
        of_home = {
            "broken": list(broken),
            "findings": findings(results),
            "date": latest(results, cards),
        }
        _write_home(out, cards, digests, common | of_home)
    if broken:
        first, more = next(iter(broken)), f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise UserError(f"the pages of suite '{first}'{more} were not written: {broken[first]}")
    for submission in store.submission_files().values():
        if isinstance(submission, UserError):  # of an evaluator that has no cell in any of the suites
            raise submission
    return [*written, out / "index.html"]


def _write_home(out: Path, cards: list[dict[str, Any]], digests: list[Digest], common: dict[str, Any]) -> None:
    for name, content in assets().items():
        _write_once(out / "assets" / name, content)
    templates = pages.environment()
    about = catalogue_files(templates, digests, common)
    for path, content in chain(about, pages.home_files(templates, cards, digests, common)):
        write_atomically(out / path, content)


def _update_index(store: Store, suite: str) -> str | None:
    """Read the results of a suite; return the error if a file of it cannot be read."""
    try:
        with open_index(store, suite):
            for path in (store.root / VERIFIED / suite).glob("[!.]*.json"):
                store.verified(suite, path.stem)
        boards(store.root, suite)
    except UserError as error:
        return str(error)
    return None


def _write(store: Store, out: Path, common: dict[str, Any], name: str) -> tuple[list[Path], dict[str, Any], Digest]:
    """Write all files of a suite; return the paths of Markdown and CSV, and what other pages show of the suite."""
    with open_index(store, name, is_current=True) as index:  # `_update_index` has just run
        suite = suite_scores(index)
        numbers = suite_statistics(suite)
        tables, goals = suite_tables(suite, numbers), goal_tables(suite)
        text, table = markdown.render(tables, goals), csv_table(numbers)
        files = {out / f"{name}.md": text.encode(), out / f"{name}.csv": table.encode()}
        for path, content in files.items():
            write_atomically(path, content)
        shown = (tables, goals, boards(store.root, name))
        digested = digest(index, suite, numbers, tables.description)
        of_goals = {"mean_ranks": mean_ranks(digested.views)}
        made = pages.suite_files(pages.environment(), index, suite, numbers, shown, common | of_goals)
        for path_on_site, content in made:
            write_atomically(out / path_on_site, content)
        return list(files), pages.suite_card(suite, tables, shown[2]), digested


@contextmanager
def _workers(count: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yield a `map` over suites that uses as many processes as there are suites and cores."""
    jobs = min(count, os.cpu_count() or 1)
    if jobs == 1:
        yield map
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield pool.map


def _write_once(path: Path, content: bytes) -> None:
    """Write a file of several megabytes only if its content changed, which is rare."""
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)
