"""The site of two suites, and a browser that opens its pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browsing import HINT, ROOT, open_browser
from playwright.sync_api import Browser, Page, expect

from dvbench.results import Store
from leaderboard.build import build
from leaderboard.index import open_index
from leaderboard.suite_scores import SuiteScores, suite_scores

expect.set_options(timeout=30_000)  # on a machine that does much else


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as actual:
        if actual is None:
            pytest.skip(HINT)
        yield actual


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """The published results of the suite quick, and of one of the speed of unlearning."""
    folder = tmp_path_factory.mktemp("results")
    for name in ("quick", "efficiency-cpu"):
        shutil.copytree(ROOT / "results" / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def suite(results) -> SuiteScores:
    with open_index(Store(results), "quick") as index:
        return suite_scores(index)


@pytest.fixture(scope="session")
def site(results, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(results, folder)
    return folder


@pytest.fixture
def visit(browser, site) -> Iterator[Callable[..., Page]]:
    """Open a page from disk; afterwards nothing may have been complained of, failed or asked of another place."""
    wrong, contexts = [], []

    def visit(path: str, base: str = "", **how) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | how))
        contexts.append(context)
        context.set_default_navigation_timeout(120_000)  # on a machine that does much else
        page = context.new_page()
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        home = base or site.as_uri() + "/"
        page.on(
            "request",
            lambda request: None if request.url.startswith((home, "data:", "blob:")) else wrong.append(request.url),
        )
        page.goto(home + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []
