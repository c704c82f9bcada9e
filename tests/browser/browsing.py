"""Finds a browser: one that is installed, or playwright's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, sync_playwright

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
