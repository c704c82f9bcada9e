"""The pages of the whole site: the glossary, submissions, and the footer that links to them."""

from __future__ import annotations

import datetime
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up import a_cell, a_result, a_score
from test_index import submitted

from dvbench.results import MARKS
from leaderboard.boards import publish
from leaderboard.build import build
from leaderboard.site.glossary import SOURCE, glossary
from leaderboard.site.submissions import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(write):
    store = write({("p", name, 0): {"f": value} for name, value in (("A", 0.5), ("B", 0.6))})
    submitted(store, "Mine", [a_cell("p", "Mine", 0, ("f",))])
    return store


def page(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def test_the_glossary_has_every_term_once(store, tmp_path):
    terms = re.findall(r"^- \*\*(.+?)\*\*", SOURCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    build(store.root, tmp_path / "out")
    shown = page(tmp_path / "out", "glossary.html")
    anchors = re.findall(r'<dt id="term-(.+?)">', shown)
    assert len(anchors) == len(set(anchors)) == len(terms) > 50
    assert all(f">{term}" in shown for term in terms)
    assert '<dt id="term-subset-group">Subset, group</dt>' in shown
    assert "**" not in shown
    assert not re.search(r"`\w", shown)


def test_what_a_glossary_says_is_marked_up_and_escaped():
    text = "# G\n\n## One\n\n- **Data <set>**, **rows**: has `a_b*c*` and\n  *more*.\n"
    ((heading, ((anchor, term, definition),)),) = glossary(text)
    assert (heading, anchor, term) == ("One", "data-set-rows", "Data &lt;set&gt;, rows")
    assert definition == "Has <code>a_b*c*</code> and <em>more</em>."


def test_without_a_glossary_nothing_links_to_it(store, tmp_path, monkeypatch):
    monkeypatch.setattr("leaderboard.site.glossary.SOURCE", tmp_path / "none.md")
    build(store.root, tmp_path / "out")
    assert not (tmp_path / "out/glossary.html").exists()
    assert "glossary.html" not in page(tmp_path / "out", "index.html")


def test_every_page_links_to_the_pages_of_the_site_and_the_documentation(store, tmp_path):
    build(store.root, tmp_path / "out", docs="docs", repository="https://example.org/dvbench")
    for path in (tmp_path / "out").rglob("*.html"):
        root = "../" * (len(path.relative_to(tmp_path / "out").parts) - 1)
        footer = path.read_text(encoding="utf-8").partition("<footer>")[2]
        for target in ("glossary.html", "submissions.html", "docs/index.html"):
            assert f'href="{root}{target}"' in footer, path
        assert 'href="https://example.org/dvbench"' in footer


def test_documentation_elsewhere_keeps_its_address(store, tmp_path):
    build(store.root, tmp_path / "out", docs="https://example.org/docs/")
    assert 'href="https://example.org/docs/index.html"' in page(tmp_path / "out", "small/compare.html")
    guide = "https://example.org/docs/guides/submit-an-evaluator/index.html"
    assert f'href="{guide}"' in page(tmp_path / "out", "submissions.html")


def test_submissions_have_their_marks_and_the_day_they_were_published(store, tmp_path):
    build(store.root, tmp_path / "out")
    before = page(tmp_path / "out", "submissions.html").partition('id="submitted"')[2]
    assert "A. Author" in before
    assert "not published yet" in before
    publish(store.root, "small", "First.", datetime.date(2026, 3, 4))
    store.write(a_result(a_cell("p", "Mine", 0, ("f",)), {"f": a_score(0.9)}), {"values": np.zeros(20)})
    publish(store.root, "small", "Second.", datetime.date(2026, 5, 6))
    build(store.root, tmp_path / "out")
    after = page(tmp_path / "out", "submissions.html").partition('id="submitted"')[2]
    row = re.search(r"<tr><td>2026-03-04</td>.*?</tr>", after)
    assert row
    assert 'href="about/evaluators/Mine.html"' in row[0]
    assert '<span class="mark claimed">claimed</span>' in row[0]
    assert '<a href="small/boards/2.html">2</a> of 2026-05-06' in after


def test_nothing_submitted_says_so(write, tmp_path):
    build(write({("p", "A", 0): {"f": 0.5}}).root, tmp_path / "out")
    shown = page(tmp_path / "out", "submissions.html")
    assert "no result on this site was sent in" in shown
    assert "1 claimed" in shown
    for mark in MARKS:
        assert f">{mark}</span></dt><dd>" in shown


def test_the_commands_are_those_of_the_guide():
    guide = (ROOT / "docs/guides/submit-an-evaluator.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert command in guide


def test_suites_of_unlearning_methods_do_not_speak_of_evaluators(tmp_path):
    shutil.copytree(ROOT / "results/unlearning-error", tmp_path / "results/unlearning-error")
    build(tmp_path / "results", tmp_path / "out")
    for path in (tmp_path / "out/unlearning-error").rglob("*.html"):
        words = re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))
        assert re.findall(r".*(?:[Ee]valuators?\b|valuations?\b).*", words) == []
        if path.name == "index.html":
            assert "Unlearning methods that the data cannot tell apart share ranks." in words
            assert "where a run failed, there are none" in words
            assert "Normalised" not in words  # there are no random values, which would be the zero
