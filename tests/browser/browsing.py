"""Finds a browser, one that is installed or playwright's own, and says what its pages should show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from playwright.sync_api import Browser, Error, Page, sync_playwright

from dvbench.results import Store
from dvbench.suite import load_suite
from leaderboard.suite_scores import SuiteScores

ROOT = Path(__file__).parents[2]
RANKED = len(load_suite("quick").evaluators) - len({"random", "unlearning_shapley-hard"})  # which are reference rows
LABELS = "digits-logistic_regression-labels0.2"
TASKS = list(dict.fromkeys(task for cell in Store(ROOT / "results").plan("quick").cells for task in cell.tasks))
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HINT = "no browser: install Chromium, run 'playwright install chromium', or name one in DVBENCH_BROWSER"


@contextmanager
def open_browser() -> Iterator[Browser | None]:
    """A headless Chromium, or None if there is none."""
    path = os.environ.get("DVBENCH_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except Error:
            yield None
            return
        yield browser
        browser.close()


def rows(page: Page) -> list[list[str]]:
    """All rows of the ranking, read at one moment."""
    return page.locator("#ranking tbody").evaluate(
        "body => [...body.rows].map(row => [...row.cells].map(c => c.innerText))"
    )


def chosen(suite: SuiteScores, **where: str) -> pd.DataFrame:
    """What Python says of a part of the suite."""
    problems = suite.cells
    for name, value in where.items():
        problems = problems[problems[name] == value] if name != "task" else problems
    scores = suite.scores[suite.scores["problem"].isin(problems["problem"])]
    return scores[scores["task"] == where["task"]] if "task" in where else scores
