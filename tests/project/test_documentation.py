"""Links and terms of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dvbench.registry import find
from dvbench.suite import load_suite

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
REPEATABILITY = (ROOT / "docs/repeatability.md").read_text()
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
TERMS = (
    "evaluator, data value, utility, coalition, player, permutation, marginal contribution, semivalue, shapley value, "
    "training set, validation set, test set, forget set, retain set, unlearning method, subset, group, problem, cell, "
    "suite, task, headline metric, valuation, scoring, claimed, recomputed, re-run, plan, bundle, revision, seed, noise"
)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_inside_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if path.endswith(".md") and linked.parent == ROOT / "docs/reference" and page.is_relative_to(ROOT / "docs"):
            continue  # most pages of the reference are generated, and the strict build of the site checks these links
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_glossary_defines_each_term_once():
    defined = [term.lower() for term in re.findall(r"\*\*(.+?)\*\*", GLOSSARY)]
    assert len(defined) == len(set(defined))
    assert set(TERMS.split(", ")) <= set(defined)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tests_that_pages_name_exist(page):
    """Functions in backticks that begin with ``test_``: what shows that a fault is not there."""
    defined = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"`(test_\w+)`", page.read_text())) <= defined


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_that_pages_name_exist(page):
    """Paths in backticks that begin with a folder of the repository, such as `dvbench/tasks/`."""
    pattern = r"`((?:dvbench|evaluators|leaderboard|tests|docs)/[\w./-]*)`"
    missing = [path for path in re.findall(pattern, page.read_text()) if not (ROOT / path).exists()]
    assert not missing


def test_the_page_on_repeatability_has_every_evaluator_and_agrees_with_the_descriptions():
    """A description that says that values are equal up to rounding has a measurement that shows it."""
    rows = re.findall(r"^\| ([\w-]+) \| without [\w-]+ \| \S+ \| (\S+) \| (\S+) \|", REPEATABILITY, re.MULTILINE)
    suite = load_suite("quick")
    assert {name for name, _, _ in rows} == {evaluator.title for evaluator in suite.evaluators}
    for evaluator in suite.evaluators:
        measured = [(float(deviation), float(rank)) for name, deviation, rank in rows if name == evaluator.title]
        assert len(measured) == 2
        assert min(correlation for _, correlation in measured) > 0.999
        _, _, said = find("evaluators", evaluator.name).docstring.partition("Between processors: ")
        if said.startswith("equal up to rounding"):
            assert max(deviation for deviation, _ in measured) < 1e-3
