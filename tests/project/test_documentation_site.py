"""The documentation site has every page, every plug-in and no link that nobody has looked at."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dvbench.registry import KINDS, entries, library_entries, suite_files

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LISTED = (ROOT / ".ci/docs/outside-links.txt").read_text().splitlines()


def load(name: str):
    """A script of the documentation, as a module."""
    folder = str(ROOT / ".ci/docs")
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/docs/{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


@pytest.fixture(scope="module")
def script():
    """The script that builds the site."""
    return load("build")


@pytest.fixture(scope="module")
def pages(script, tmp_path_factory) -> Path:
    """The pages that the site is built from, the generated ones too."""
    script.PAGES = tmp_path_factory.mktemp("pages") / "pages"
    script.stage()
    return script.PAGES


def named(nav: list) -> list[str]:
    """Pages that a navigation names."""
    values = [value for item in nav for value in (item.values() if isinstance(item, dict) else [item])]
    return [page for value in values for page in (named(value) if isinstance(value, list) else [value])]


def test_every_page_is_in_the_navigation_once(pages):
    """Pages of the folder `repository` are files that pages link to."""
    there = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    listed = named(PROJECT["nav"])
    assert len(listed) == len(set(listed))
    assert {page for page in there if not page.startswith("repository/")} == set(listed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_has_its_entry(pages, kind):
    text = (pages / f"reference/{kind}.md").read_text()
    for name, entry in entries(kind).items():
        assert f"\n## {name} {{ #{name} }}\n" in text
        assert f"\n::: {entry.target.replace(':', '.')}\n" in text
        assert entry.docstring, f"{name} has no description"
    assert all(f"| `{name}` |" in text for name in library_entries(kind))


def test_every_suite_has_its_entry(pages):
    text = (pages / "reference/suites.md").read_text()
    assert all(f"\n## {name} {{ #{name} }}\n" in text for name in suite_files())


def test_every_command_has_its_entry(pages):
    from typer.main import get_command

    from dvbench.cli import app

    text = (pages / "reference/command-line.md").read_text()
    for name, command in get_command(app).commands.items():
        for path in [name, *(f"{name} {inner}" for inner in getattr(command, "commands", {}))]:
            assert f"## `dvbench {path}`\n" in text


def test_links_of_copied_pages_lead_to_copies(pages):
    for page in pages.rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
            if "://" not in target:
                linked = (page.parent / target).resolve()
                assert linked.exists(), (page, target)
                assert linked.is_relative_to(pages), (page, target)


def test_the_picture_shows_the_published_results():
    """After new results of its suites: python .ci/docs/picture.py."""
    picture = load("picture")
    text = (ROOT / "docs/quality-and-cost.svg").read_text()
    drawn = re.findall(rf"fill: {picture.FRONT}[^>]*>([a-z_]+)</text>", text)
    scores = [picture.scores_of(suite, task) for task, (suite, *_) in picture.PANELS.items()]
    fronts = [picture.front(picture.points_of(each)) for each in scores]
    assert drawn == [name for names in fronts for name in names]


def test_outside_links_are_in_the_list():
    """A link is added to the list by somebody who has followed it. This test and the build use no network."""
    found = {link.rstrip(".,;:") for text in TEXTS for link in re.findall(r"https?://[^\s)>\"'`\]]+", text.read_text())}
    local = {link for link in found if urlsplit(link).hostname in ("localhost", "127.0.0.1")}
    assert found - local == set(LISTED)
    assert sorted(set(LISTED)) == LISTED
    for link in LISTED:
        parts = urlsplit(link)
        assert (parts.scheme, parts.username, parts.port) == ("https", None, None), link
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.hostname), link
        assert not parts.query, link


def test_what_a_page_loads_from_other_hosts_is_named(script, tmp_path):
    (tmp_path / "page.html").write_text(
        '<a href="https://docs.astral.sh/uv/">x</a><a class="y" href="other.html">x</a><a href=https://other.example/>x</a>'
        '<script src="https://cdn.example/a.js"></script><link rel="stylesheet" href=//cdn.example/a.css>'
    )
    named = [line.partition(",")[0] for line in script.outside(tmp_path)]
    assert named == [
        "page.html: <a> of https://other.example/",
        "page.html: <script> of https://cdn.example/a.js",
        "page.html: <link> of //cdn.example/a.css",
    ]
